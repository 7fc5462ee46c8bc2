"""`ladders`: both ladders of every instrument, rung by rung."""

from typing import ClassVar

from hedgegridd.control.common import Reading
from hedgegridd.control.operation import Context, Outcome
from hedgegridd.control.views import exact
from hedgegridd.messages import GetLadders, LaddersAnswer, LadderView, Rung


class Ladders(Reading, frozen=True, kw_only=True):
    """Show every rung with its price, quantity and state: resting, pending, filled, dropped (and why) or off.

    Example: hedgegridctl ladders BTCUSDT
    """

    verb: ClassVar[str] = "ladders"
    paths: ClassVar[tuple[str, ...]] = ("/ladders",)

    async def run(self, context: Context) -> Outcome:
        """Ask the desk."""
        answer = await context.ask(GetLadders(), LaddersAnswer)
        return Outcome({"ladders": [_ladder(item) for item in self.wanted(context, answer.ladders)]})


def _ladder(view: LadderView) -> dict[str, object]:
    return {
        "instrument": view.instrument,
        "mid_price": exact(view.mid_price),
        "centre": exact(view.centre),
        "tick": exact(view.tick),
        "step": exact(view.step),
        "long_ladder": [_rung(item) for item in view.long_ladder],
        "short_ladder": [_rung(item) for item in view.short_ladder],
    }


def _rung(view: Rung) -> dict[str, object]:
    return {
        "level": view.level,
        "side": view.side.value,
        "price": exact(view.price),
        "qty": exact(view.qty),
        "state": view.state,
        "reason": view.reason or None,
        "client_order_id": view.client_order_id or None,
    }
