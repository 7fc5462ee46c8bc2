"""Limits of the pre-trade gate that were changed at run time: tightened by an operator, loosened by an admin with a reason.

A change is kept with what the config said when it was made. When the config has changed since, the tighter of the two
counts: neither an old loosening nor an old config outlives the other unnoticed.
"""

from decimal import Decimal
from typing import get_args

import msgspec
from msgspec import Meta

from hedgegridd.config import Pretrade
from hedgegridd.core.state import LimitChange
from hedgegridd.messages import LimitView, SetLimits
from hedgegridd.model import Nanos

_MORE_IS_TIGHTER = frozenset({"min_margin_after_pct", "duplicate_window_ms"})
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Pretrade)}
_WHOLE = frozenset(name for name, kind in _FIELDS.items() if get_args(kind)[:1] == (int,) or kind is int)

type Changes = dict[str, LimitChange]


def in_force(configured: Pretrade, changes: Changes) -> Pretrade:
    """The limits that the gate applies."""
    if not changes:
        return configured
    values = {name: _typed(name, _counts(name, configured, change)) for name, change in changes.items()}
    return msgspec.structs.replace(configured, **values)


def change(command: SetLimits, configured: Pretrade, changes: Changes, now_ns: Nanos) -> str | dict[str, str]:
    """Make the changes, all or none: the limits that were in force before, by name; or why not, in words."""
    if not command.values:
        return "name at least one limit"
    now = in_force(configured, changes)
    for name, value in command.values.items():
        if why := _wrong(name, value) or _not_allowed(name, value, now, command):
            return why
    for name, value in command.values.items():
        was: Decimal | int | None = getattr(configured, name)
        if was is not None and value == was:
            changes.pop(name, None)  # the config says so: nothing differs from it
            continue
        given = None if was is None else Decimal(was)
        changes[name] = LimitChange(value=value, configured=given, reason=command.reason, since_ns=now_ns)
    return {name: str(getattr(now, name)) for name in command.values}


def views(configured: Pretrade, changes: Changes) -> tuple[LimitView, ...]:
    """Limits in force that are not the config's, for people."""
    found = []
    for name, each in sorted(changes.items()):
        value, given = _counts(name, configured, each), _configured(name, configured)
        if value != given:
            found.append(
                LimitView(
                    name=name, value=value, configured=given, reason=each.reason, since_ns=each.since_ns
                )
            )
    return tuple(found)


def looser(name: str, value: Decimal, now: Decimal | int | None) -> bool:
    """Whether `value` allows what `now` refuses; no limit refuses everything."""
    if now is None:
        return True
    return value < now if name in _MORE_IS_TIGHTER else value > now


def _counts(name: str, configured: Pretrade, each: LimitChange) -> Decimal:
    given = _configured(name, configured)
    if given is None or given == each.configured:
        return each.value
    return given if looser(name, each.value, given) else each.value


def _configured(name: str, configured: Pretrade) -> Decimal | None:
    value: Decimal | int | None = getattr(configured, name)
    return None if value is None else Decimal(value)


def _typed(name: str, value: Decimal) -> Decimal | int:
    return int(value) if name in _WHOLE else value


def _not_allowed(name: str, value: Decimal, now: Pretrade, command: SetLimits) -> str:
    current: Decimal | int | None = getattr(now, name)
    if not looser(name, value, current):
        return ""
    was = "not set, so every entry is refused" if current is None else f"{current}"
    if not command.may_loosen:
        return f"{name} is {was}: {value} would loosen it, which takes an admin, `loosen` and a reason"
    return "" if command.reason.strip() else f"{name} is {was}: to loosen it to {value} needs a reason"


def _wrong(name: str, value: Decimal) -> str:
    if name not in _FIELDS:
        return f"{name!r} is no limit; there are {', '.join(_FIELDS)}"
    if not value.is_finite() or abs(value.adjusted()) > 12:
        return f"{name} must be a number, not {value}"
    if name in _WHOLE and value != int(value):
        return f"{name} must be a whole number, not {value}"
    bounds = _bounds(_FIELDS[name])
    within = {
        "ge": lambda limit: value >= limit,
        "gt": lambda limit: value > limit,
        "le": lambda limit: value <= limit,
        "lt": lambda limit: value < limit,
    }
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    for kind, limit in bounds.items():
        if not within[kind](Decimal(limit)):
            return f"{name} must be {signs[kind]} {limit}, not {value}"
    return ""


def _bounds(kind: object) -> dict[str, str]:
    """The bounds that the config has for a field: those of its `Meta`, wherever it stands in the type."""
    metas = getattr(kind, "__metadata__", ())
    for meta in metas:
        if isinstance(meta, Meta):
            return dict(meta.extra or {})
    for part in get_args(kind):
        if found := _bounds(part):
            return found
    return {}
