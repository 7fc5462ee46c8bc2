"""What the grids of a desk share: the turn under way (time, output), the ledger, ids, and wishes for venue truth."""

from datetime import tzinfo

from hedgegridd import messages as m
from hedgegridd.config import Config, Pretrade
from hedgegridd.core.ledger import Ledger
from hedgegridd.core.limits import in_force
from hedgegridd.core.state import DeskState
from hedgegridd.model import Leg, OrderTag, Purpose, client_order_id

SECOND_NS = 1_000_000_000
RECENT_NS = 10 * SECOND_NS


class Context:
    """One per desk; `begin` starts a turn, `out` is what the turn says."""

    def __init__(self, config: Config, epoch: str, state: DeskState, zone: tzinfo) -> None:
        self.config = config
        self.epoch = epoch
        self.state = state
        self.ledger = Ledger(state.ledger, (grid.instrument_id for grid in config.grid), zone)
        self.now_ns = 0
        self.mono = 0
        self.out: list[m.Message] = []

    def begin(self, env: m.Envelope) -> None:
        """A turn for one envelope; approved orders that are too old to count are forgotten."""
        self.now_ns = env.time_ns
        self.mono = env.mono_ns
        self.out = []
        window = max(RECENT_NS, self.limits.duplicate_window_ms * 1_000_000)
        recent = self.state.recent
        # A question changes nothing: it is not in the journal, and a replay without it must come to the same state.
        if recent and not isinstance(env.message, m.Query) and self.mono - recent[0].at_ns >= window:
            self.state.recent = [each for each in recent if self.mono - each.at_ns < window]

    @property
    def limits(self) -> Pretrade:
        """Of the pre-trade gate, as configured and as changed since."""
        return in_force(self.config.pretrade, self.state.limits)

    def say(self, message: m.Message) -> None:
        """Put a message out."""
        self.out.append(message)

    def new_id(self, symbol: str, leg: Leg, level: int, purpose: Purpose) -> str:
        """A client order id that was never used in this state folder."""
        seq = self.state.next_order
        self.state.next_order += 1
        return client_order_id(OrderTag(symbol, leg, level, purpose, self.epoch, seq))

    def want_truth(self, cause: str, *, after_ns: int = 0, urgent: bool = False) -> None:
        """The books must be compared with the venue, at once or after a while; wishes join.

        After a failed reading no wish cuts the back-off short, but for an urgent one: it waits half a second, and for
        as long as the venue asked us to.
        """
        truth = self.state.truth
        if truth.wanted is None:
            truth.wanted = cause
        at = max(self.mono + after_ns, truth.backoff_mono if urgent else truth.patience_mono)
        truth.again_mono = at if truth.again_mono is None else min(truth.again_mono, at)
