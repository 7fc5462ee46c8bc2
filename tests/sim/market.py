"""The market: a price that walks, jumps when a step says so, and is told as quotes, marks and bars."""

import random
from decimal import Decimal

from hedgegridd.messages import BarClosed
from tests.sim.answers import Answers
from tests.sim.connection import Connection
from tests.sim.loop import SECOND
from tests.sim.network import Weather
from tests.sim.venue import WALL_NS

D = Decimal
BAR_MS = 300_000
BUSY_GAP_NS = 5 * SECOND  # between prices while much happens
CALM_GAP_NS = 200 * SECOND
SETTLES_EVERY_MS = 8 * 3_600_000


class Market:
    """One symbol's price. `bars` go to the klines as they close."""

    def __init__(
        self,
        world: "object",
        rng: random.Random,
        *,
        symbol: str,
        volatility_bps: int,
        busy: tuple[tuple[int, int], ...],
    ) -> None:
        self.world = world
        self._rng = rng
        self.symbol = symbol
        self.instrument = f"{symbol}-PERP.BINANCE"
        self._volatility = volatility_bps
        self._busy = busy
        self._drift = 0
        self.lose_bars = False
        answers: Answers = world.answers
        self._rows = answers.bars[symbol]
        venue = world.venue
        self.price = venue.markets[symbol].price
        start_ms = venue.ms() // BAR_MS * BAR_MS
        for back in range(12, 0, -1):
            low, high = self.price - back * 3, self.price + back * 3
            opened = start_ms - back * BAR_MS
            self._rows.append(_row(opened, self.price, high, low, self.price))
        self._begin_bar(start_ms)
        world.time.at(start_ms * 1_000_000 - WALL_NS + BAR_MS * 1_000_000, self._close_bar)
        world.time.after(SECOND, self._walk)

    def _begin_bar(self, opened_ms: int) -> None:
        self._opened_ms = opened_ms
        self._open = self._high = self._low = self.price

    def _walk(self) -> None:
        rng = self._rng
        if rng.random() < 0.05:
            self._drift = rng.choice((-1, 0, 0, 1))
        bps = rng.gauss(self._drift * self._volatility / 3, self._volatility)
        self.move(bps)
        now = self.world.time.now
        is_busy = any(begin <= now < end for begin, end in self._busy)
        gap = BUSY_GAP_NS if is_busy else CALM_GAP_NS
        at = now + rng.randint(gap // 4, gap * 7 // 4)
        soon = min((begin for begin, _ in self._busy if begin > now), default=at)
        self.world.time.at(min(at, soon), self._walk)

    def move(self, bps: float) -> None:
        """The price goes by so many basis points, and everybody hears of it."""
        world = self.world
        price = max(self.price * (1 + D(round(bps * 100)) / 1_000_000), D(5000))
        self.price = price = price // D("0.1") * D("0.1")
        self._high, self._low = max(self._high, price), min(self._low, price)
        basis = D(self._rng.randint(-5, 5)) / 10
        world.venue.move(self.symbol, price, price + basis)
        process = world.process
        if process is not None and not process.dead and not world.frozen:
            weather: Weather = world.weather
            world.time.after(weather.delay(), self._tell, process, world.venue.ms())

    def _tell(self, process: object, ms: int) -> None:
        if process.dead or not process.gateway._feeds:
            return
        process.call(self._told, process.connection, ms * 1_000_000)

    def _told(self, connection: Connection, market_ns: int) -> None:
        market = self.world.venue.markets[self.symbol]
        bid, ask = self.world.venue.bid(market), self.world.venue.ask(market)
        connection.quote(self.instrument, bid, ask, market_ns, now=self.world.time.now)
        next_ns = (market_ns // 1_000_000 // SETTLES_EVERY_MS + 1) * SETTLES_EVERY_MS * 1_000_000
        connection.mark(self.instrument, market.mark, market_ns, D("0.0001"), next_ns)

    def tell_quotes(self, connection: Connection) -> None:
        """The book of now, when it was told some seconds ago."""
        world = self.world
        if world.frozen or not world.process.gateway._feeds or not connection.quote_is_old(world.time.now):
            return
        market = world.venue.markets[self.symbol]
        bid, ask = world.venue.bid(market), world.venue.ask(market)
        connection.quote(self.instrument, bid, ask, world.venue.ms() * 1_000_000, now=world.time.now)

    def _close_bar(self) -> None:
        world = self.world
        row = _row(self._opened_ms, self._open, self._high, self._low, self.price)
        self._rows.append(row)
        bar = BarClosed(
            instrument=self.instrument,
            open_ns=row[0] * 1_000_000,
            close_ns=row[6] * 1_000_000,
            open=self._open,
            high=self._high,
            low=self._low,
            close=self.price,
            volume=D(1),
        )
        self._begin_bar(self._opened_ms + BAR_MS)
        world.time.after(BAR_MS * 1_000_000, self._close_bar)
        process = world.process
        if process is None or process.dead or world.frozen or world.weather.strikes({"lose_bar": ""}):
            return
        world.time.after(world.weather.delay(), self._tell_bar, process, bar)

    def _tell_bar(self, process: object, bar: BarClosed) -> None:
        if not process.dead and process.gateway._feeds:
            process.call(process.connection.bar, bar)


def _row(opened_ms: int, first: Decimal, high: Decimal, low: Decimal, last: Decimal) -> list:
    closed_ms = opened_ms + BAR_MS - 1
    return [opened_ms, str(first), str(high), str(low), str(last), "1", closed_ms]
