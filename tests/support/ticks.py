"""Ticks of a market, taken and looked at."""

from hedgegridd.exchange.types import Market, SymbolRules, Tick

RULES = SymbolRules()


def take(market: Market, count: int) -> list[Tick]:
    return [market.next() for _ in range(count)]


def drain(market: Market) -> list[Tick]:
    ticks = []
    while market.next_ts_ms() is not None:
        ticks.append(market.next())
    return ticks


def on_grid(tick: Tick) -> bool:
    prices = [
        tick.last,
        tick.low,
        tick.high,
        tick.mark,
        tick.index,
        *(p for p, _ in (*tick.bids, *tick.asks)),
    ]
    sizes = [tick.volume, *(q for _, q in (*tick.bids, *tick.asks))]
    return all(p % RULES.tick == 0 and p > 0 for p in prices) and all(q % RULES.step == 0 for q in sizes)
