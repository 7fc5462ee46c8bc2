"""The paper exchange's engine: the venue's rules for one user, synchronous and deterministic, without I/O or clock.

    requests -> trading.py, algo.py, reports.py      (checked by params.py and filters.py)
    ticks    -> matching.py, algo.py, settlement.py
    both     -> desk.py (orders) -> account.py (money) -> events.py (user stream)

Each public method is one mutation or one answer; a refused request raises VenueError and changes nothing. Invariants
(invariants.py) are checked after every mutation. Times come in: `wall_ms` wall clock, `Tick.ts_ms` market clock.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd.exchange import params
from hedgegridd.exchange.account import Account
from hedgegridd.exchange.algo import AlgoService
from hedgegridd.exchange.brackets import brackets_json, brackets_of
from hedgegridd.exchange.desk import Desk
from hedgegridd.exchange.events import Outbox
from hedgegridd.exchange.info import exchange_info
from hedgegridd.exchange.invariants import check_books, check_money
from hedgegridd.exchange.matching import Book
from hedgegridd.exchange.params import Params
from hedgegridd.exchange.reports import Reports
from hedgegridd.exchange.rules import changed_rules
from hedgegridd.exchange.settlement import FUNDING_HOURS, Settlement, funding_rate, next_settlement_ms
from hedgegridd.exchange.state import FIRST_ORDER_ID, LEGS, Leg, Market, Order, State
from hedgegridd.exchange.trading import Trading
from hedgegridd.exchange.types import SymbolRules, Tick, UserEvent, VenueError

Json = dict[str, Any]
DONE_ALL: Json = {"code": 200, "msg": "The operation of cancel all open order is done."}
SUCCESS: Json = {"code": 200, "msg": "success"}
OPENING_AGE_MS = 30 * 86_400_000
STATUSES = frozenset({"TRADING", "PRE_SETTLE", "SETTLING", "CLOSE", "TRADING_HALT"})


class Engine:
    """One user's account at the paper exchange.

    `deposit` is the first USDT transfer; `partial_fills` False fills an order whole as soon as it would get
    anything; `countdown_cancels_algo` lets countdownCancelAll take algo orders too; `allow_flat_stop` and
    `single_close_position`: see AlgoService; `exits_reserve`: see Trading.
    """

    def __init__(
        self,
        rules: Sequence[SymbolRules],
        *,
        deposit: Decimal = Decimal(10000),
        partial_fills: bool = True,
        countdown_cancels_algo: bool = False,
        allow_flat_stop: bool = True,
        single_close_position: bool = True,
        exits_reserve: bool = False,
        start_ms: int = 0,
    ) -> None:
        self._rules = {r.symbol: r for r in rules}
        if not self._rules or len(self._rules) != len(rules):
            raise ValueError("rules: at least one symbol, each once")
        if deposit < 0:
            raise ValueError("deposit: must not be negative")
        self._partial_fills = partial_fills
        self._countdown_cancels_algo = countdown_cancels_algo
        self._allow_flat_stop = allow_flat_stop
        self._single_close_position = single_close_position
        self._exits_reserve = exits_reserve
        self._now_ms = start_ms
        self.changes = 0  # grows with every mutation
        self._wire(_fresh_state(self._rules))
        if deposit:
            # Older than any session with this exchange: a client that knew the account before must not take it for news.
            self._account.transfer(deposit, max(0, start_ms - OPENING_AGE_MS))

    def _wire(self, state: State) -> None:
        """Builds the parts around `state`; indices (books, client ids) come from its orders."""
        self._state = state
        self._checked_seq = 0
        self._books = {
            symbol: Book(r, state.markets[symbol], partial_fills=self._partial_fills)
            for symbol, r in self._rules.items()
        }
        self._account = Account(self._rules, state, self._books)
        self._outbox = Outbox(self._rules, state, self._account, self._books)
        self._desk = Desk(self._rules, state, self._account, self._outbox, self._books)
        self._trading = Trading(self._desk, exits_reserve=self._exits_reserve)
        self._algo = AlgoService(
            self._desk,
            self._trading,
            allow_flat_stop=self._allow_flat_stop,
            single_close_position=self._single_close_position,
        )
        self._settlement = Settlement(self._desk)
        self._reports = Reports(self._desk)

    def _settled(self, wall_ms: int) -> None:
        """Ends a mutation: reports finished algo orders and checks the invariants."""
        self.changes += 1
        self._now_ms = max(self._now_ms, wall_ms)
        self._algo.finish(wall_ms)
        self._algo.on_flat(wall_ms)
        check_money(self._state)
        if self._state.next_event_seq != self._checked_seq:  # nothing was said: no order has changed
            self._checked_seq = self._state.next_event_seq
            check_books(self._state, self._books)

    # -- ordinary orders ---------------------------------------------------------------------------------------

    def new_order(self, request: Params, wall_ms: int) -> Json:
        """POST /fapi/v1/order."""
        answer = self._trading.new(request, wall_ms)
        self._settled(wall_ms)
        return answer

    def test_order(self, request: Params, wall_ms: int) -> Json:
        """POST /fapi/v1/order/test: refused as the order would be, else nothing happens."""
        self._trading.test(request, wall_ms)
        return {}

    def modify_order(self, request: Params, wall_ms: int) -> Json:
        """PUT /fapi/v1/order."""
        answer = self._trading.modify(request, wall_ms)
        self._settled(wall_ms)
        return answer

    def cancel_order(self, request: Params, wall_ms: int) -> Json:
        """DELETE /fapi/v1/order, by orderId or origClientOrderId; -2011 when unknown or ended."""
        answer = self._trading.cancel(request, wall_ms)
        self._settled(wall_ms)
        return answer

    def query_order(self, request: Params) -> Json:
        """GET /fapi/v1/order; -2013 when unknown."""
        return self._trading.query(request)

    def cancel_all(self, symbol: str, wall_ms: int) -> Json:
        """DELETE /fapi/v1/allOpenOrders: ordinary orders of both legs, not algo orders."""
        self._trading.cancel_all(symbol, wall_ms)
        self._settled(wall_ms)
        return dict(DONE_ALL)

    def open_orders(self, symbol: str | None = None) -> list[Json]:
        """GET /fapi/v1/openOrders."""
        return self._reports.open_orders(symbol)

    def all_orders(self, request: Params) -> list[Json]:
        """GET /fapi/v1/allOrders: symbol, orderId, startTime, endTime, limit."""
        return self._reports.all_orders(request)

    def user_trades(self, request: Params) -> list[Json]:
        """GET /fapi/v1/userTrades: symbol, orderId, startTime, endTime, fromId, limit."""
        return self._reports.user_trades(request)

    def countdown_cancel(self, request: Params, wall_ms: int) -> Json:
        """POST /fapi/v1/countdownCancelAll; fires in `on_wall`."""
        answer = self._trading.countdown(request, wall_ms)
        self._settled(wall_ms)
        return answer

    # -- algo orders -------------------------------------------------------------------------------------------

    def new_algo_order(self, request: Params, wall_ms: int) -> Json:
        """POST /fapi/v1/algoOrder."""
        answer = self._algo.new(request, wall_ms)
        self._settled(wall_ms)
        return answer

    def cancel_algo_order(self, request: Params, wall_ms: int) -> Json:
        """DELETE /fapi/v1/algoOrder, by algoId or clientAlgoId."""
        answer = self._algo.cancel(request, wall_ms)
        self._settled(wall_ms)
        return answer

    def query_algo_order(self, request: Params) -> Json:
        """GET /fapi/v1/algoOrder."""
        return self._algo.query(request)

    def open_algo_orders(self, symbol: str | None = None) -> list[Json]:
        """GET /fapi/v1/openAlgoOrders."""
        return self._algo.open(symbol)

    def all_algo_orders(self, request: Params) -> list[Json]:
        """GET /fapi/v1/allAlgoOrders: symbol, algoId, startTime, endTime, limit."""
        return self._algo.all(request)

    def cancel_all_algo(self, symbol: str, wall_ms: int) -> Json:
        """DELETE /fapi/v1/algoOpenOrders."""
        self._algo.cancel_all(symbol, wall_ms)
        self._settled(wall_ms)
        return dict(DONE_ALL)

    # -- account -----------------------------------------------------------------------------------------------

    def account_v2(self) -> Json:
        """GET /fapi/v2/account."""
        return self._reports.account(version=2)

    def account_v3(self) -> Json:
        """GET /fapi/v3/account."""
        return self._reports.account(version=3)

    def balance(self) -> list[Json]:
        """GET /fapi/v2/balance and /fapi/v3/balance."""
        return self._reports.balance()

    def position_risk(self, symbol: str | None = None) -> list[Json]:
        """GET /fapi/v2/positionRisk and /fapi/v3/positionRisk."""
        return self._reports.position_risk(symbol)

    def symbol_config(self, symbol: str | None = None) -> list[Json]:
        """GET /fapi/v1/symbolConfig."""
        return self._reports.symbol_config(symbol)

    def income(self, request: Params) -> list[Json]:
        """GET /fapi/v1/income."""
        return self._reports.income(request)

    def funding_rates(self, request: Params) -> list[Json]:
        """GET /fapi/v1/fundingRate: symbol, startTime, endTime, limit; times are market time."""
        return self._reports.funding_rates(request)

    def commission_rate(self, symbol: str) -> Json:
        """GET /fapi/v1/commissionRate."""
        return self._reports.commission_rate(symbol)

    def position_mode(self) -> Json:
        """GET /fapi/v1/positionSide/dual."""
        return {"dualSidePosition": self._state.settings.hedge_mode}

    def key_rights(self) -> Json:
        """GET /sapi/v1/account/apiRestrictions: what the API key may do."""
        settings = self._state.settings
        return {
            "ipRestrict": settings.key_bound, "createTime": 0, "enableReading": True,
            "enableFutures": settings.key_futures, "enableWithdrawals": settings.key_withdraw,
            "enableInternalTransfer": False, "permitsUniversalTransfer": False, "enableMargin": False,
            "enableVanillaOptions": False, "enableSpotAndMarginTrading": False,
        }  # fmt: skip

    def set_settings(self, changes: dict[str, bool], wall_ms: int) -> Json:
        """Another set-up of account or key from now on, as somebody at the venue's page would make it."""
        for name, value in changes.items():
            setattr(self._state.settings, name, value)
        self._settled(wall_ms)
        return msgspec.structs.asdict(self._state.settings)

    def multi_assets_mode(self) -> Json:
        """GET /fapi/v1/multiAssetsMargin."""
        return {"multiAssetsMargin": self._state.multi_assets}

    def set_multi_assets_mode(self, request: Params, wall_ms: int = 0) -> Json:
        """POST /fapi/v1/multiAssetsMargin; -4171 when it is so already, -4168 with open orders or positions.

        The account holds one asset, so that its margin is the same in both modes.
        """
        wanted = params.flag(request, "multiAssetsMargin")
        if wanted == self._state.multi_assets:
            raise VenueError(-4171, "No need to change multi assets mode.")
        if self._account.open_legs() or self._account.live_orders():
            raise VenueError(-4168, "Unable to change the assets mode with open orders or positions.")
        if wanted and any(market.isolated for market in self._state.markets.values()):
            raise VenueError(
                -4167,
                "Unable to adjust to Multi-Assets mode with symbols of USDS-M Futures under isolated-margin mode.",
            )
        self._state.multi_assets = wanted
        self._outbox.assets_mode(joint=wanted, now_ms=wall_ms or self._now_ms)
        self._settled(wall_ms or self._now_ms)
        return dict(SUCCESS)

    def account_config(self) -> Json:
        """GET /fapi/v1/accountConfig."""
        return {
            "feeTier": 0, "canTrade": self._state.settings.can_trade, "canDeposit": True, "canWithdraw": True,
            "dualSidePosition": self._state.settings.hedge_mode,
            "updateTime": self._state.update_ms, "multiAssetsMargin": self._state.multi_assets,
            "tradeGroupId": -1,
        }  # fmt: skip

    def adl_quantile(self, symbol: str | None = None) -> list[Json]:
        """GET /fapi/v1/adlQuantile: one account stands nowhere in a queue."""
        names = list(self._rules) if symbol is None else [self._desk.rules_of(symbol).symbol]
        return [{"symbol": name, "adlQuantile": dict.fromkeys(LEGS, 0)} for name in names]

    def force_orders(self, request: Params) -> list[Json]:
        """GET /fapi/v1/forceOrders: symbol, autoCloseType (LIQUIDATION, ADL), startTime, endTime, limit."""
        return self._reports.force_orders(request)

    def set_position_mode(self, request: Params, wall_ms: int = 0) -> Json:
        """POST /fapi/v1/positionSide/dual: -4059 when it is so already, -4068 or -4067 with legs or orders.

        Nothing is traded in one-way mode: every order is refused then (-4061), as one that names a leg is at the venue.
        """
        wanted = params.flag(request, "dualSidePosition")
        if wanted == self._state.settings.hedge_mode:
            raise VenueError(-4059, "No need to change position side.")
        if self._account.open_legs():
            raise VenueError(-4068, "Position side cannot be changed if there exists position.")
        if self._account.live_orders() or self.open_algo_orders(None):
            raise VenueError(-4067, "Position side cannot be changed if there exists open orders.")
        self._state.settings.hedge_mode = wanted
        self._settled(wall_ms or self._now_ms)
        return dict(SUCCESS)

    def set_leverage(self, request: Params, wall_ms: int = 0) -> Json:
        """POST /fapi/v1/leverage; -4028 out of range, -2028 when the margin or the legs do not allow it."""
        rules = self._desk.rules_of(params.required(request, "symbol"))
        leverage = params.integer(request, "leverage")
        if not 1 <= leverage <= rules.max_leverage:
            raise VenueError(-4028, f"Leverage {leverage} is not valid")
        market = self._state.markets[rules.symbol]
        before = market.leverage
        market.leverage = leverage
        legs = [self._state.leg(rules.symbol, side) for side in LEGS]
        held = self._account.position_initial() + self._account.orders_initial(
            self._desk.account.live_orders()
        )
        too_large = any(
            self._account.notional(leg) > self._account.max_notional(rules.symbol) for leg in legs
        )
        if (leverage < before and held > self._account.margin_balance()) or too_large:
            market.leverage = before
            raise VenueError(-2028, "Leverage is smaller than permitted: insufficient margin balance")
        self.changes += 1
        if leverage != before:
            self._outbox.config(rules.symbol, leverage, wall_ms or self._now_ms)
        most = self._reports.symbol_config(rules.symbol)[0]["maxNotionalValue"]
        return {"leverage": leverage, "maxNotionalValue": most, "symbol": rules.symbol}

    def set_margin_type(self, request: Params, wall_ms: int = 0) -> Json:
        """POST /fapi/v1/marginType: -4046 when it is so already, -4047 with open orders, -4048 with a position.

        Margin is told as isolated then, and entries are refused: paper counts cross margin only.
        """
        rules = self._desk.rules_of(params.required(request, "symbol"))
        kind = params.choice(
            request, "marginType", {"CROSSED", "ISOLATED"},
            -1130, "Data sent for parameter 'marginType' is not valid.",
        )  # fmt: skip
        market, wanted = self._state.markets[rules.symbol], kind == "ISOLATED"
        if wanted == market.isolated:
            raise VenueError(-4046, "No need to change margin type.")
        if wanted and self._state.multi_assets:
            raise VenueError(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
        if self._books[rules.symbol].orders or self.open_algo_orders(rules.symbol):
            raise VenueError(-4047, "Margin type cannot be changed if there exists open orders.")
        if any(self._state.leg(rules.symbol, side).qty for side in LEGS):
            raise VenueError(-4048, "Margin type cannot be changed if there exists position.")
        market.isolated = wanted
        self._settled(wall_ms or self._now_ms)
        return dict(SUCCESS)

    def exchange_info(self, wall_ms: int | None = None) -> Json:
        """GET /fapi/v1/exchangeInfo; `wall_ms` is its serverTime (default: the last time seen)."""
        now_ms = self._now_ms if wall_ms is None else wall_ms
        return exchange_info(self._rules.values(), self._state.markets, now_ms)

    def leverage_brackets(self, symbol: str | None = None) -> list[Json]:
        """GET /fapi/v1/leverageBracket."""
        names = list(self._rules) if symbol is None else [symbol]
        return [brackets_json(self._desk.rules_of(name)) for name in names]

    # -- time --------------------------------------------------------------------------------------------------

    def on_tick(self, tick: Tick, wall_ms: int) -> None:
        """One step of the market: fills, funding, triggers, then margin. KeyError for a symbol not listed."""
        for order, qty in self._books[tick.symbol].move(tick):
            self._desk.fill(order, order.price, qty, wall_ms, maker=True)
        self._settlement.fund(tick, wall_ms)
        self._algo.on_tick(tick, wall_ms)
        self._settlement.enforce(wall_ms)
        self._settled(wall_ms)

    def on_wall(self, wall_ms: int) -> None:
        """What the wall clock does: GTD expiry and countdown cancels."""
        self._trading.expire_gtd(wall_ms)
        self._algo.expire(wall_ms)
        for symbol, market in self._state.markets.items():
            if market.countdown_ms and market.countdown_ms <= wall_ms:
                market.countdown_ms = 0
                self._trading.cancel_all(symbol, wall_ms)
                if self._countdown_cancels_algo:
                    self._algo.cancel_all(symbol, wall_ms)
        self._settled(wall_ms)

    def take_events(self) -> list[UserEvent]:
        """User-stream messages since the last call, oldest first."""
        return self._outbox.take()

    def funding(self, symbol: str) -> tuple[Decimal, int]:
        """(rate of the next settlement as of now, its market time in ms): for markPrice and premiumIndex."""
        self._desk.rules_of(symbol)
        market = self._state.markets[symbol]
        return funding_rate(market), market.next_funding_ms

    # -- admin -------------------------------------------------------------------------------------------------

    def transfer(self, amount: Decimal, wall_ms: int) -> None:
        """Deposits (positive) or withdraws (negative) USDT."""
        self._account.transfer(amount, wall_ms)
        self._outbox.account("DEPOSIT" if amount > 0 else "WITHDRAW", wall_ms, change=amount)
        self._settled(wall_ms)

    def set_funding_rate(self, symbol: str, rate: Decimal | None) -> None:
        """Sets the rate of the next settlement only (a fraction within -1..1); None: by premium again."""
        self._desk.rules_of(symbol)
        if rate is not None and not (rate.is_finite() and -1 <= rate <= 1):
            raise VenueError(-1130, "Data sent for parameter 'rate' is not valid.")
        self._state.markets[symbol].rate_override = rate

    def set_funding_hours(self, symbol: str, hours: int) -> None:
        """Settles funding every 1, 2, 4 or 8 hours from now on; a settlement that lay further away comes earlier."""
        self._desk.rules_of(symbol)
        if hours not in FUNDING_HOURS:
            raise VenueError(-1130, f"hours must be one of {', '.join(map(str, FUNDING_HOURS))}.")
        market = self._state.markets[symbol]
        market.funding_hours = hours
        if market.ts_ms:
            market.next_funding_ms = next_settlement_ms(market, market.ts_ms)

    def funding_info(self) -> list[Json]:
        """GET /fapi/v1/fundingInfo: the symbols whose funding differs from the usual 8 h."""
        return self._reports.funding_info()

    def set_status(self, symbol: str, status: str) -> None:
        """Sets the trading status in exchangeInfo; entries are refused (-4140) unless it is TRADING."""
        self._desk.rules_of(symbol)
        if status not in STATUSES:
            raise VenueError(-1130, f"status must be one of {', '.join(sorted(STATUSES))}.")
        self._state.markets[symbol].status = status

    def expire_order(self, symbol: str, order_id: int, wall_ms: int) -> None:
        """The venue expires a resting order; -2011 when it does not rest."""
        order = self._state.orders.get(order_id)
        if order is None or order.symbol != symbol or not order.open:
            raise VenueError(-2011, "Unknown order sent.")
        self._desk.end(order, "EXPIRED", wall_ms)
        self._settled(wall_ms)

    def liquidate(self, symbol: str, leg: str, wall_ms: int) -> None:
        """The venue closes a whole leg (LONG or SHORT) by force at mark."""
        if leg not in LEGS:
            raise VenueError(-4060, "Invalid position side.")
        self._settlement.liquidate(symbol, leg, wall_ms)
        self._settled(wall_ms)

    def settle(self, symbol: str, wall_ms: int) -> None:
        """The venue delists a symbol: orders of both services end, legs are closed at mark, status SETTLING."""
        self._settlement.settle(symbol, wall_ms)
        self._algo.cancel_all(symbol, wall_ms)
        self._settled(wall_ms)

    def rules_of(self, symbol: str) -> SymbolRules:
        """The rules as they are now. Raises VenueError -1121 for a symbol that is not traded here."""
        return self._desk.rules_of(symbol)

    def set_rules(self, symbol: str, changes: Mapping[str, Decimal | int]) -> SymbolRules:
        """Changes filters and fees while trading; ValueError naming the field, and nothing changes then."""
        rules = changed_rules(self._desk.rules_of(symbol), changes, len(self._books[symbol].orders))
        self._rules[symbol] = rules
        self._books[symbol].rules = rules
        self._account.brackets[symbol] = brackets_of(rules)
        self.changes += 1
        return rules

    def deleverage(self, symbol: str, leg: str, qty: Decimal, wall_ms: int) -> None:
        """The venue auto-deleverages `qty` of a leg (LONG or SHORT) at mark."""
        if leg not in LEGS:
            raise VenueError(-4060, "Invalid position side.")
        self._settlement.deleverage(symbol, leg, qty, wall_ms)
        self._settled(wall_ms)

    def truth(self) -> Json:
        """Everything a test compares beliefs with; figures as text, legs under "SYMBOL:SIDE"."""
        state = self._state
        return {
            "wallet": str(state.wallet),
            "deposits": str(state.deposits),
            "realised": str(state.realised),
            "fees": str(state.fees),
            "funding": str(state.funding),
            "insurance": str(state.insurance),
            "unrealised": str(self._account.unrealised()),
            "margin_balance": str(self._account.margin_balance()),
            "maintenance_margin": str(self._account.maintenance_margin()),
            "available": str(self._account.available()),
            "legs": {key: self._leg_truth(leg) for key, leg in state.legs.items()},
            "open_orders": self.open_orders(None),
            "algo_orders": self.open_algo_orders(None),
            "trades": len(state.trades) + state.forgotten_trades,
            "orders": state.next_order_id - FIRST_ORDER_ID,
            "marks": {symbol: str(market.mark) for symbol, market in state.markets.items()},
            "invariant": self._invariant(),
        }

    @property
    def state(self) -> State:
        """All that is remembered, to be read only."""
        return self._state

    @property
    def rules(self) -> Mapping[str, SymbolRules]:
        """The rules in force."""
        return self._rules

    def resting(self) -> list[Order]:
        """All resting orders."""
        return self._account.live_orders()

    def keep_track(self) -> None:
        """From now on note which orders change, for `take_touched`; all there are count as changed."""
        self._outbox.touched = (set(self._state.orders), set(self._state.algos))

    def take_touched(self) -> tuple[set[int], set[int]]:
        """Ids of the orders and algo orders that have changed, or gone, since the last call."""
        touched = self._outbox.touched or (set(), set())
        self._outbox.touched = (set(), set())
        return touched

    def _leg_truth(self, leg: Leg) -> Mapping[str, str]:
        return {
            "qty": str(leg.qty),
            "entry": str(leg.entry),
            "realised": str(leg.realised),
            "unrealised": str(leg.unrealised(self._account.mark(leg.symbol))),
        }

    def _invariant(self) -> str:
        try:
            check_money(self._state)
            check_books(self._state, self._books)
        except AssertionError as breach:
            return str(breach)
        return "ok"

    # -- state -------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state (without events not yet taken), to be given to `restore`."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, data: bytes) -> None:
        """Replaces the state by a snapshot of an engine with the same symbols; ValueError when it is not one."""
        state = msgspec.msgpack.decode(data, type=State)
        if set(state.markets) != set(self._rules):
            raise ValueError(f"snapshot is of {sorted(state.markets)}, engine lists {sorted(self._rules)}")
        self.restore_state(state, self._rules)

    def restore_state(self, state: State, rules: Mapping[str, SymbolRules]) -> None:
        """Goes on with a state that was kept and the rules that were in force; InvariantError when it contradicts itself."""
        check_money(state)
        self._rules.update(rules)
        self._wire(state)


def _fresh_state(rules: Mapping[str, SymbolRules]) -> State:
    """An empty account that knows the listed symbols."""
    zero = Decimal(0)
    return State(
        wallet=zero,
        deposits=zero,
        markets={s: Market(symbol=s, status=r.status) for s, r in rules.items()},
        legs={f"{s}:{side}": Leg(symbol=s, side=side) for s in rules for side in LEGS},
    )
