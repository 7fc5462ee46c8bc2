"""The strategy desk joined to the paper exchange's engine in one thread: no loop, no wire, no wall clock.

Every message takes its way in order: ticks through the feed filter to the desk, its orders to the engine, the engine's
user events through the decoder back to the desk. Monotonic and wall time are the market's, so a run is the same each
time. What the wire, Nautilus and the journal add is left to `bench/replay.py`; what the machines do is all here.
"""

from collections import deque
from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import Config
from hedgegridd.control import views
from hedgegridd.core.desk import Desk
from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.klines import KlineBook
from hedgegridd.exchange.types import Kline, Market, SymbolRules, Tick, VenueError
from hedgegridd.model import KillState, OrderKind
from hedgegridd.venue import wire
from hedgegridd.venue.feed import Feed, to_raw
from hedgegridd.venue.user_stream import UserDecoder

NS_PER_MS = 1_000_000
MESSAGES_MAX = 20_000
"""Messages that one tick may cause: more is a loop that never ends."""


class DeskOnEngine:
    """A desk that trades one symbol of one market. `said` counts the desk's messages by type."""

    def __init__(self, config: Config, rules: SymbolRules, market: Market, deposit: Decimal) -> None:
        self.rules = rules
        self.market = market
        self.engine = Engine([rules], deposit=deposit)
        self.id = config.grid[0].instrument_id
        self.desk = Desk(config, "t1")
        self.said: dict[str, int] = {}
        self.trades = {"fills": 0, "maker": 0}
        self._book = KlineBook(market.history())
        self._feed = Feed(self.id, rules.tick)
        self._decoder = UserDecoder({rules.symbol: self.id})
        self._queue: deque[m.Message] = deque()
        self._wakes: dict[str, int] = {}
        self._now_ns = 0
        self._seq = 0
        self._known_rows: set[int] = set()
        self._started = False

    # --- running

    def tick(self) -> Tick:
        """Feed the next tick of the market and everything that follows from it. StopIteration at its end."""
        tick = self.market.next()
        self._wake_until(tick.ts_ms * NS_PER_MS)
        self._now_ns = max(self._now_ns, tick.ts_ms * NS_PER_MS)
        self.engine.on_tick(tick, tick.ts_ms)
        self._take_events()
        bars = [kline for kline in self._book.on_tick(tick) if kline.closed]
        if not self._started:
            self._start()
        bid, ask = to_raw(tick.bids[0][0]), to_raw(tick.asks[0][0])
        self._queue.extend(self._feed.on_book(bid, ask, self._now_ns))
        rate, next_ms = self.engine.funding(self.rules.symbol)
        self._queue.extend(self._feed.on_mark(to_raw(tick.mark), self._now_ns, rate, next_ms * NS_PER_MS))
        self._queue.extend(self._bar(kline, warmup=False) for kline in bars)
        self._drain()
        return tick

    def ask(self, query: m.Query) -> m.Answer:
        """The desk's answer to a question."""
        answers = [item for item in self._handle(query) if isinstance(item, m.Answer)]
        assert len(answers) == 1, answers
        return answers[0]

    def status(self) -> dict[str, Any]:
        """As `status` answers, what `tests.support.truth` reads of it."""
        answer = self.ask(m.GetStatus())
        assert isinstance(answer, m.StatusAnswer)
        view = answer.view
        return {
            "settled": not view.unsettled,
            "pnl": views.pnl(view.ledger),
            "instruments": [views.instrument(item, None, self._now_ns) for item in view.instruments],
        }

    def orders(self) -> dict[str, Any]:
        """As `orders` answers."""
        answer = self.ask(m.GetOrders())
        assert isinstance(answer, m.OrdersAnswer)
        return {"orders": [views.order(item, self._now_ns) for item in answer.orders]}

    # --- the desk's side

    def _start(self) -> None:
        self._started = True
        info = msgspec.convert(self.engine.exchange_info(), wire.ExchangeInfo, strict=False)
        (symbol,) = info.symbols
        instrument = wire.instrument(symbol, self.id, self.rules.maint_margin_rate)
        self._queue.extend(
            self._bar(kline, warmup=True)
            for kline in self._book.query(self.rules.symbol, "1m")
            if kline.closed
        )
        self._queue.append(m.InstrumentReady(instrument=instrument))
        self._queue.append(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))

    def _bar(self, kline: Kline, *, warmup: bool) -> m.BarClosed:
        bid, ask = self._feed.book()
        return m.BarClosed(
            instrument=self.id,
            open_ns=kline.open_ms * NS_PER_MS,
            close_ns=(kline.close_ms + 1) * NS_PER_MS,
            open=kline.open,
            high=kline.high,
            low=kline.low,
            close=kline.close,
            volume=kline.volume,
            bid=bid,
            ask=ask,
            warmup=warmup,
        )

    def _wake_until(self, end_ns: int) -> None:
        """Fire the timers that fall due before `end_ns`, in order."""
        while self._wakes:
            token = min(self._wakes, key=self._wakes.__getitem__)
            if self._wakes[token] > end_ns:
                return
            self._now_ns = max(self._now_ns, self._wakes.pop(token))
            self._queue.append(m.Woke(token=token))
            self._drain()

    def _drain(self) -> None:
        for _ in range(MESSAGES_MAX):
            if not self._queue:
                return
            for said in self._handle(self._queue.popleft()):
                self._obey(said)
        raise AssertionError(f"{MESSAGES_MAX} messages after one tick: {list(self._queue)[:3]}")

    def _handle(self, message: m.Message) -> list[m.Message]:
        self._seq += 1
        envelope = m.Envelope(
            seq=self._seq, time_ns=self._now_ns, mono_ns=self._now_ns, cause=0, actor="test", message=message
        )
        return list(self.desk.handle(envelope))

    def _obey(self, said: m.Message) -> None:
        name = type(said).__name__
        self.said[name] = self.said.get(name, 0) + 1
        match said:
            case m.PlaceOrder():
                self._place(said)
            case m.CancelOrder():
                self._cancel(said)
            case m.ReadTruth():
                self._queue.append(self._truth(said))
            case m.WatchPrices():
                self._queue.extend(self._feed.watch(said.above, said.below))
            case m.WakeAt():
                self._wakes[said.token] = said.at_ns
            case _:
                pass  # told to people and other machines

    # --- the venue's side

    def _place(self, order: m.PlaceOrder) -> None:
        request = {"symbol": self.rules.symbol, "side": order.side.value, "positionSide": order.leg.value}
        if order.qty is not None:
            request["quantity"] = f"{order.qty:f}"
        try:
            if order.kind is OrderKind.STOP_MARKET:
                request |= {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "workingType": "MARK_PRICE"}
                request |= {"triggerPrice": f"{order.stop_price:f}", "clientAlgoId": order.client_order_id}
                if order.close_position:
                    request["closePosition"] = "true"
                self.engine.new_algo_order(request, self._wall_ms())
            else:
                request |= {"type": order.kind.value, "newClientOrderId": order.client_order_id}
                if order.price is not None:
                    request |= {"price": f"{order.price:f}", "timeInForce": order.time_in_force.value}
                self.engine.new_order(request, self._wall_ms())
        except VenueError as error:
            self._queue.append(
                m.OrderRejected(
                    instrument=self.id,
                    client_order_id=order.client_order_id,
                    code=error.code,
                    reason=error.msg,
                )
            )
        self._take_events()

    def _cancel(self, command: m.CancelOrder) -> None:
        try:
            if command.algo:
                self.engine.cancel_algo_order({"clientAlgoId": command.client_order_id}, self._wall_ms())
            else:
                request = {"symbol": self.rules.symbol, "origClientOrderId": command.client_order_id}
                self.engine.cancel_order(request, self._wall_ms())
        except VenueError as error:
            self._queue.append(
                m.CancelRejected(
                    instrument=self.id,
                    client_order_id=command.client_order_id,
                    code=error.code,
                    reason=error.msg,
                )
            )
        self._take_events()

    def _take_events(self) -> None:
        for event in self.engine.take_events():
            decoded = self._decoder.decode(msgspec.json.encode(event.body))
            assert not decoded.problem, decoded.problem
            for fill in decoded.events:
                if isinstance(fill, m.Fill):
                    self.trades["fills"] += 1
                    self.trades["maker"] += fill.maker
            self._queue.extend(decoded.events)
            if decoded.wallet_moved:
                self._queue.extend(self._incomes())

    def _new_rows(self) -> list[wire.Income]:
        rows = msgspec.convert(self.engine.income({"limit": "1000"}), list[wire.Income], strict=False)
        fresh = [row for row in rows if row.tranId not in self._known_rows]
        self._known_rows.update(row.tranId for row in fresh)
        return fresh

    def _incomes(self) -> list[m.Message]:
        return [
            m.IncomeBooked(
                income_id=f"{row.incomeType}:{row.tranId}",
                kind=row.incomeType,
                asset=row.asset,
                amount=row.income,
                instrument=self.id if row.symbol else None,
                ts_ns=row.time * NS_PER_MS,
            )
            for row in self._new_rows()
            if row.incomeType not in ("COMMISSION", "REALIZED_PNL")
        ]

    def _truth(self, asked: m.ReadTruth) -> m.VenueTruth:
        symbol = self.rules.symbol
        account = msgspec.convert(self.engine.account_v3(), wire.Account, strict=False)
        risks = msgspec.convert(self.engine.position_risk(symbol), list[wire.PositionRisk], strict=False)
        ordinary = msgspec.convert(self.engine.open_orders(symbol), list[wire.OpenOrder], strict=False)
        algos = msgspec.convert(self.engine.open_algo_orders(symbol), list[wire.AlgoOrder], strict=False)
        marks = {self.id: self._feed.mark or Decimal(0)}
        self._new_rows()  # the wallet has them already: without a cursor nothing is told, the answer sets it
        return m.VenueTruth(
            token=asked.token,
            instruments=(self.id,),
            account=account.ours(),
            legs=wire.legs(risks, {symbol: self.id}, marks),
            orders=(
                *(wire.open_order(row, self.id) for row in ordinary),
                *(wire.algo_order(row, self.id) for row in algos),
            ),
            trade_cursor={self.id: self.trades["fills"]},
            income_cursor_ms=self._wall_ms(),
            asked_ns=self._now_ns,
            asked_mono_ns=self._now_ns,
            answered_ns=self._now_ns,
        )

    def _wall_ms(self) -> int:
        return self._now_ns // NS_PER_MS
