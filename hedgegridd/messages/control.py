"""What the control plane tells the daemon: switches, weights, a config read anew, and who was turned away."""

from decimal import Decimal
from typing import Literal

import msgspec

from hedgegridd.messages.base import Answer, Command, Event, Query
from hedgegridd.model import Leg, Nanos


class SetSwitch(Command, frozen=True, kw_only=True):
    """Turn a switch on or off; `by` is who asked, for people."""

    name: str
    enabled: bool
    reason: str = ""
    by: str = ""


class SwitchView(msgspec.Struct, frozen=True, kw_only=True):
    """A switch as it stands. `normal` is where it stands when nothing is wrong; `effect` what the other place does."""

    name: str
    kind: Literal["emergency", "venue", "instrument", "transport"]
    enabled: bool
    normal: bool
    effect: str
    since_ns: Nanos = 0  # 0: never touched
    by: str = ""
    reason: str = ""


class GetSwitches(Query, frozen=True, kw_only=True):
    """Every switch."""


class SwitchesAnswer(Answer, frozen=True, kw_only=True):
    """Every switch, emergency ones first."""

    switches: tuple[SwitchView, ...]


class SetWeights(Command, frozen=True, kw_only=True):
    """Share the account among the grids by these weights (by instrument id, each above 0); kept over restarts."""

    weights: dict[str, Decimal]
    reason: str = ""


class TryOrder(Command, frozen=True, kw_only=True):
    """Place one small post-only entry of a leg, worth about `notional_usdt`, and take it away again unless `keep`.

    Answered `Done` with its fate once it is gone (or rests, with `keep`), `Refused` when none could rest.
    """

    instrument: str
    leg: Leg
    notional_usdt: Decimal
    keep: bool = False
    reason: str = ""


class ConfigReloaded(Event, frozen=True, kw_only=True):
    """The config file was read again: what of it counts at run time counts from here on.

    `config` is the whole of what is in force now, as `SessionBegan` has it.
    """

    config: msgspec.Raw


class AuthFailed(Event, frozen=True, kw_only=True):
    """Somebody was turned away: a wrong key, signature or login from `address`, `count` in all since start.

    `limited`: more of them from this address are refused unread and not told one by one.
    """

    address: str
    what: Literal["key", "signature", "login"]
    count: int
    limited: bool = False
