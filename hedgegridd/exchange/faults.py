"""Rules that make the venue misbehave on purpose: which request or stream, what goes wrong, how often.

| target    | kinds |
| --------- | ----- |
| `rest`    | `status_before`, `status_after`, `drop_before`, `drop_after`, `delay`, `delay_after`, `hang` |
| `market`  | `refuse` (no new socket), `freeze` (open but silent until cleared) |
| `user`    | `refuse`, `freeze`, `mute` (leaves out events), `duplicate`, `swap` (an event after its next) |

"before" and "after" mean: before or after the venue has processed the request. A failing listenKey is a `rest`
rule on `/fapi/v1/listenKey`. Cutting open sockets and ending the listenKey are acts, not rules: see admin.py.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

MAX_RULES = 100
MAX_DELAY_MS = 600_000

Target = Literal["rest", "market", "user"]
Kind = Literal[
    "status_before", "status_after", "drop_before", "drop_after", "delay", "delay_after", "hang",
    "refuse", "freeze", "mute", "duplicate", "swap",
]  # fmt: skip
KINDS: dict[str, frozenset[str]] = {
    "rest": frozenset(
        {"status_before", "status_after", "drop_before", "drop_after", "delay", "delay_after", "hang"}
    ),
    "market": frozenset({"refuse", "freeze"}),
    "user": frozenset({"refuse", "freeze", "mute", "duplicate", "swap"}),
}


class FaultRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule. `skip` matches pass unharmed first, then `count` are hit (None: until cleared).

    `method`, `path` (a shell pattern) and `params` (request parameters that must have exactly these values, such as
    `{"type": "MARKET"}`) narrow a `rest` rule; `stream` (a pattern of stream names) or `event`
    (a pattern of user event kinds) a stream rule. `status`, `code`, `msg`, `retry_after_s` make the answer of
    a status fault, `body` its text instead of code and msg, as a proxy before the venue would answer; `delay_ms` belongs to `delay` and `delay_after` (wall ms) and bounds `hang` (default and most: ten minutes).
    """

    target: Target
    kind: Kind
    method: str = "*"
    path: str = "*"
    params: dict[str, str] = {}
    stream: str = "*"
    event: str = "*"
    count: int | None = None
    skip: int = 0
    status: int = 503
    code: int = -1000
    msg: str = "An unknown error occurred while processing the request."
    retry_after_s: int | None = None
    body: str | None = None
    delay_ms: int | None = None
    id: int = 0
    hits: int = 0


class FaultBook:
    """The rules in force, in the order they were added."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []
        self._next_id = 1

    def add(self, raw: dict[str, Any]) -> FaultRule:
        """Take a rule as JSON has it. Raises ValueError that names the field, and changes nothing then."""
        rule = msgspec.convert(raw, FaultRule)
        if rule.id or rule.hits:
            raise ValueError("id and hits are the exchange's to set")
        if rule.kind not in KINDS[rule.target]:
            raise ValueError(
                f"kind {rule.kind!r} does not go with target {rule.target!r}: {sorted(KINDS[rule.target])}"
            )
        if rule.params and rule.target != "rest":
            raise ValueError(f"params goes with target 'rest', not {rule.target!r}")
        if rule.body is not None and not rule.kind.startswith("status"):
            raise ValueError(f"body goes with a status fault, not {rule.kind!r}")
        if rule.count is not None and rule.count < 1:
            raise ValueError(f"count must be at least 1, not {rule.count}")
        if rule.kind == "freeze" and rule.count is not None:
            raise ValueError("count does not go with freeze: it lasts until it is cleared")
        if rule.skip < 0:
            raise ValueError(f"skip must not be negative, not {rule.skip}")
        if not 400 <= rule.status <= 599:
            raise ValueError(f"status must be 400 to 599, not {rule.status}")
        if rule.delay_ms is not None and not 0 < rule.delay_ms <= MAX_DELAY_MS:
            raise ValueError(f"delay_ms must be 1 to {MAX_DELAY_MS}, not {rule.delay_ms}")
        if rule.kind in ("delay", "delay_after") and rule.delay_ms is None:
            raise ValueError("delay_ms is missing: a delay needs one")
        if len(self._rules) >= MAX_RULES:
            raise ValueError(f"no more than {MAX_RULES} rules: clear some first")
        rule.id = self._next_id
        self._next_id += 1
        self._rules.append(rule)
        return rule

    def rules(self) -> list[FaultRule]:
        """All rules, used-up ones included, with their hits."""
        return list(self._rules)

    def clear(self, rule_id: int | None = None) -> int:
        """Remove one rule or all; returns how many went."""
        kept = [] if rule_id is None else [rule for rule in self._rules if rule.id != rule_id]
        gone = len(self._rules) - len(kept)
        self._rules = kept
        return gone

    def active(self, rule_id: int) -> bool:
        """Whether that rule is still listed (a hang ends when its rule is cleared)."""
        return any(rule.id == rule_id for rule in self._rules)

    def take_rest(self, method: str, path: str, params: Mapping[str, str]) -> FaultRule | None:
        """The rule that hits this request, counted."""
        for rule in self._rules:
            if (
                rule.target == "rest"
                and rule.method in ("*", method)
                and fnmatchcase(path, rule.path)
                and all(params.get(name) == value for name, value in rule.params.items())
                and _hit(rule)
            ):
                return rule
        return None

    def take_refusal(self, target: Target, stream: str) -> bool:
        """Whether a new socket for this stream is refused, counted."""
        return any(
            rule.target == target
            and rule.kind == "refuse"
            and fnmatchcase(stream, rule.stream)
            and _hit(rule)
            for rule in self._rules
        )

    def frozen(self, target: Target, streams: Iterable[str]) -> bool:
        """Whether a socket with these streams is silenced."""
        patterns = [rule.stream for rule in self._rules if rule.target == target and rule.kind == "freeze"]
        return any(fnmatchcase(stream, pattern) for stream in streams for pattern in patterns)

    def take_event(self, event: str) -> str | None:
        """What happens to this user event: `mute`, `duplicate`, `swap` or nothing; counted."""
        for rule in self._rules:
            concerns = rule.target == "user" and rule.kind in ("mute", "duplicate", "swap")
            if concerns and fnmatchcase(event, rule.event) and _hit(rule):
                return rule.kind
        return None


def _hit(rule: FaultRule) -> bool:
    if rule.count is not None and rule.hits >= rule.skip + rule.count:
        return False
    rule.hits += 1
    return rule.hits > rule.skip
