"""Small words that the rules share."""

from hedgegridd.messages import Scope

_NS_PER_S = 1_000_000_000


def plain(name: str) -> str:
    """`BTCUSDT` for `BTCUSDT-PERP.BINANCE`; names with underscores in plain words."""
    return name.partition(".")[0].removesuffix("-PERP").replace("_", " ")


def account_or(scope: Scope) -> str:
    """What a scope is about: `LONG BTCUSDT`, `BTCUSDT`, `account`."""
    named = " ".join(each for each in (scope.leg and scope.leg.value, plain(scope.instrument or "")) if each)
    return named or "account"


def seconds(span_ns: int) -> str:
    """A span for people: `6.8 s`, `4 min 10 s`, `2 h 5 min`."""
    if span_ns < 60 * _NS_PER_S:
        return f"{max(0, span_ns) / _NS_PER_S:.1f} s"
    minutes, rest = divmod(round(span_ns / _NS_PER_S), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def both(before: str, text: str) -> str:
    """`before` and `text`; "" when there is no text."""
    return before + text if text else ""
