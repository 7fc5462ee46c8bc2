"""REST answers about the account: balances, margins, positions, configuration and history."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hedgegridd.exchange import params
from hedgegridd.exchange.brackets import Bracket
from hedgegridd.exchange.desk import Desk
from hedgegridd.exchange.events import entry_text, signed_amount
from hedgegridd.exchange.numbers import fixed, money_text, text
from hedgegridd.exchange.params import Params
from hedgegridd.exchange.render import income_json, order_json, trade_json
from hedgegridd.exchange.settlement import RATE_CAP, USUAL_HOURS
from hedgegridd.exchange.state import LEGS, ZERO, Income, Leg
from hedgegridd.exchange.types import VenueError

FAR = 1 << 62


class Reports:
    """Read-only views over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def _symbols(self, symbol: str | None) -> list[str]:
        return list(self._desk.rules) if symbol is None else [self._desk.rules_of(symbol).symbol]

    # -- account -----------------------------------------------------------------------------------------------

    def _figures(self) -> dict[str, Decimal]:
        account = self._desk.account
        position, orders = (
            account.position_initial(),
            account.orders_initial(self._desk.account.live_orders()),
        )
        return {
            "wallet": self._desk.state.wallet,
            "unrealised": account.unrealised(),
            "balance": account.margin_balance(),
            "maintenance": account.maintenance_margin(),
            "position": position,
            "orders": orders,
            "initial": position + orders,
            "available": account.available(),
            "withdrawable": account.withdrawable(),
        }

    def account(self, *, version: int) -> dict[str, Any]:
        """`/fapi/v2/account` (all legs, permissions) or `/fapi/v3/account` (legs that hold something or work)."""
        figures = {name: money_text(value) for name, value in self._figures().items()}
        state = self._desk.state
        totals = {
            "totalInitialMargin": figures["initial"],
            "totalMaintMargin": figures["maintenance"],
            "totalWalletBalance": figures["wallet"],
            "totalUnrealizedProfit": figures["unrealised"],
            "totalMarginBalance": figures["balance"],
            "totalPositionInitialMargin": figures["position"],
            "totalOpenOrderInitialMargin": figures["orders"],
            "totalCrossWalletBalance": figures["wallet"],
            "totalCrossUnPnl": figures["unrealised"],
            "availableBalance": figures["available"],
            "maxWithdrawAmount": figures["withdrawable"],
        }
        asset = {
            "asset": "USDT",
            "walletBalance": figures["wallet"],
            "unrealizedProfit": figures["unrealised"],
            "marginBalance": figures["balance"],
            "maintMargin": figures["maintenance"],
            "initialMargin": figures["initial"],
            "positionInitialMargin": figures["position"],
            "openOrderInitialMargin": figures["orders"],
            "crossWalletBalance": figures["wallet"],
            "crossUnPnl": figures["unrealised"],
            "availableBalance": figures["available"],
            "maxWithdrawAmount": figures["withdrawable"],
            "marginAvailable": True,
            "updateTime": state.update_ms,
        }
        legs = [leg for leg in state.legs.values() if version == 2 or leg.qty]
        positions = [self._account_leg(leg) for leg in legs]
        if version == 3:
            return {**totals, "assets": [asset], "positions": positions}
        header = {
            "feeTier": 0,
            "feeBurn": False,
            "canTrade": state.settings.can_trade,
            "canDeposit": True,
            "canWithdraw": True,
            "updateTime": state.update_ms,
            "multiAssetsMargin": state.multi_assets,
            "tradeGroupId": -1,
        }
        return {**header, **totals, "assets": [asset], "positions": positions}

    def _account_leg(self, leg: Leg) -> dict[str, Any]:
        account, market = self._desk.account, self._desk.state.markets[leg.symbol]
        orders = account.orders_initial(
            o for o in self._desk.books[leg.symbol].orders.values() if o.leg == leg.side
        )
        position = account.leg_initial(leg)
        return {
            "symbol": leg.symbol,
            "initialMargin": money_text(position + orders),
            "maintMargin": money_text(account.leg_maintenance(leg)),
            "unrealizedProfit": money_text(leg.unrealised(market.mark)),
            "positionInitialMargin": money_text(position),
            "openOrderInitialMargin": money_text(orders),
            "leverage": str(market.leverage),
            "isolated": market.isolated,
            "entryPrice": entry_text(leg),
            "maxNotional": text(account.max_notional(leg.symbol)),
            "positionSide": leg.side,
            "positionAmt": signed_amount(leg, self._desk.rules[leg.symbol]),
            "notional": money_text(-account.notional(leg) if leg.side == "SHORT" else account.notional(leg)),
            "isolatedWallet": "0",
            "updateTime": leg.update_ms,
            "bidNotional": money_text(self._side_notional(leg, "BUY")),
            "askNotional": money_text(self._side_notional(leg, "SELL")),
        }

    def _side_notional(self, leg: Leg, side: str) -> Decimal:
        orders = self._desk.books[leg.symbol].orders.values()
        return sum((o.price * o.remaining for o in orders if o.leg == leg.side and o.side == side), ZERO)

    def balance(self) -> list[dict[str, Any]]:
        """`/fapi/v2/balance`."""
        figures = {name: money_text(value) for name, value in self._figures().items()}
        return [
            {
                "accountAlias": "paper",
                "asset": "USDT",
                "balance": figures["wallet"],
                "crossWalletBalance": figures["wallet"],
                "crossUnPnl": figures["unrealised"],
                "availableBalance": figures["available"],
                "maxWithdrawAmount": figures["withdrawable"],
                "marginAvailable": True,
                "updateTime": self._desk.state.update_ms,
            }
        ]

    def position_risk(self, symbol: str | None) -> list[dict[str, Any]]:
        """Both legs of a symbol, or of all; flat legs too. SHORT amounts and notionals are negative."""
        rows: list[dict[str, Any]] = []
        for name in self._symbols(symbol):
            liquidation = self.liquidation_price(name)
            rows.extend(self._risk_leg(self._desk.state.leg(name, side), liquidation) for side in LEGS)
        return rows

    def _risk_leg(self, leg: Leg, liquidation: Decimal) -> dict[str, Any]:
        market, rules = self._desk.state.markets[leg.symbol], self._desk.rules[leg.symbol]
        row = self._account_leg(leg)
        return {
            "symbol": leg.symbol,
            "positionSide": leg.side,
            "positionAmt": row["positionAmt"],
            "entryPrice": row["entryPrice"],
            "breakEvenPrice": row["entryPrice"],
            "markPrice": money_text(market.mark),
            "unRealizedProfit": row["unrealizedProfit"],
            "liquidationPrice": fixed(liquidation, rules.tick) if leg.qty and liquidation > 0 else "0",
            "isolatedMargin": "0",
            "notional": row["notional"],
            "marginAsset": rules.quote,
            "isolatedWallet": "0",
            "initialMargin": row["initialMargin"],
            "maintMargin": row["maintMargin"],
            "positionInitialMargin": row["positionInitialMargin"],
            "openOrderInitialMargin": row["openOrderInitialMargin"],
            "adl": 0,
            "bidNotional": row["bidNotional"],
            "askNotional": row["askNotional"],
            "leverage": str(market.leverage),
            "marginType": "isolated" if market.isolated else "cross",
            "isAutoAddMargin": "false",
            "maxNotionalValue": row["maxNotional"],
            "updateTime": leg.update_ms,
        }

    def liquidation_price(self, symbol: str) -> Decimal:
        """Mark price of `symbol` at which margin balance equals maintenance, other marks unchanged; 0: none.

        The venue's cross formula over both legs: (balance of the rest - sum of signed cost + cum) divided by
        (sum of qty * rate - signed qty), with the brackets in force now.
        """
        desk = self._desk
        own = [desk.state.leg(symbol, side) for side in LEGS]
        others = [leg for leg in desk.account.open_legs() if leg.symbol != symbol]
        top = desk.state.wallet
        for leg in others:
            top += leg.unrealised(desk.account.mark(leg.symbol)) - desk.account.leg_maintenance(leg)
        bottom = ZERO
        for leg in own:
            bracket = self._bracket(leg)
            signed = leg.qty if leg.side == "LONG" else -leg.qty
            top += (bracket.cum if leg.qty else ZERO) - signed * leg.entry
            bottom += leg.qty * bracket.rate - signed
        return max(ZERO, top / bottom) if bottom else ZERO

    def _bracket(self, leg: Leg) -> Bracket:
        brackets, notional = self._desk.account.brackets[leg.symbol], self._desk.account.notional(leg)
        return next((b for b in brackets if notional <= b.cap), brackets[-1])

    # -- configuration -----------------------------------------------------------------------------------------

    def symbol_config(self, symbol: str | None) -> list[dict[str, Any]]:
        """`/fapi/v1/symbolConfig`."""
        return [
            {
                "symbol": name,
                "marginType": "ISOLATED" if self._desk.state.markets[name].isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": self._desk.state.markets[name].leverage,
                "maxNotionalValue": text(self._desk.account.max_notional(name)),
            }
            for name in self._symbols(symbol)
        ]

    def commission_rate(self, symbol: str) -> dict[str, Any]:
        """`/fapi/v1/commissionRate`."""
        rules = self._desk.rules_of(symbol)
        return {
            "symbol": symbol,
            "makerCommissionRate": text(rules.maker_fee),
            "takerCommissionRate": text(rules.taker_fee),
        }

    # -- history -----------------------------------------------------------------------------------------------

    def open_orders(self, symbol: str | None) -> list[dict[str, Any]]:
        """Resting ordinary orders, oldest first in each symbol."""
        return [
            order_json(order, self._desk.rules[name])
            for name in self._symbols(symbol)
            for order in self._desk.state_open(name)
        ]

    def all_orders(self, request: Params) -> list[dict[str, Any]]:
        """Orders of a symbol, oldest first: from `orderId` or `startTime` on, else the most recent `limit`."""
        symbol = self._desk.rules_of(params.required(request, "symbol")).symbol
        most = params.limit(request, 500, 1000)
        first_id = params.integer(request, "orderId", 0)
        start, end = _window(request)
        found = []
        for order in reversed(self._desk.state.orders.values()):
            if order.id < first_id or order.time_ms < start:
                break
            if order.symbol == symbol and order.time_ms <= end:
                found.append(order)
        found.reverse()
        rows = found[:most] if first_id or start else found[-most:]
        return [order_json(order, self._desk.rules[symbol]) for order in rows]

    def user_trades(self, request: Params) -> list[dict[str, Any]]:
        """Fills of a symbol, oldest first: from `fromId` or `startTime` on, else the most recent `limit`."""
        symbol = self._desk.rules_of(params.required(request, "symbol")).symbol
        most = params.limit(request, 500, 1000)
        order_id = params.integer(request, "orderId", 0)
        from_id = params.integer(request, "fromId", 0)
        start, end = _window(request)
        found = []
        for trade in reversed(self._desk.state.trades):
            if trade.id < from_id or trade.time_ms < start:
                break
            if trade.symbol == symbol and trade.time_ms <= end and order_id in {0, trade.order_id}:
                found.append(trade)
        found.reverse()
        rows = found[:most] if from_id or start else found[-most:]
        return [trade_json(trade, self._desk.rules[symbol]) for trade in rows]

    def force_orders(self, request: Params) -> list[dict[str, Any]]:
        """Orders the venue closed legs with (liquidations, deleveraging), oldest first."""
        most = params.limit(request, 50, 100)
        start, end = _window(request)
        kind, symbol = request.get("autoCloseType", ""), request.get("symbol", "")
        if kind not in {"", "LIQUIDATION", "ADL"}:
            raise VenueError(-1130, "Data sent for parameter 'autoCloseType' is not valid.")
        if symbol:
            self._desk.rules_of(symbol)
        found = [
            order
            for order in self._desk.state.orders.values()
            if order.type in {"LIQUIDATION", "ADL"}
            and kind in {"", order.type}
            and symbol in {"", order.symbol}
            and start <= order.time_ms <= end
        ]
        # The venue lists them as the LIMIT orders they are in its book; the client id tells which kind.
        return [
            {**order_json(order, self._desk.rules[order.symbol]), "type": "LIMIT", "origType": "LIMIT"}
            for order in found[-most:]
        ]

    def funding_rates(self, request: Params) -> list[dict[str, Any]]:
        """Settlements of a symbol (or of all), oldest first, by startTime, endTime (market time) and limit."""
        most = params.limit(request, 100, 1000)
        start, end = _window(request)
        found = [
            (row.time_ms, name, row)
            for name in self._symbols(request.get("symbol") or None)
            for row in self._desk.state.markets[name].settlements
            if start <= row.time_ms <= end
        ]
        found.sort(key=lambda item: item[:2])
        rows = found[:most] if start else found[-most:]
        return [
            {
                "symbol": name,
                "fundingRate": money_text(row.rate),
                "fundingTime": time_ms,
                "markPrice": money_text(row.mark),
            }
            for time_ms, name, row in rows
        ]

    def funding_info(self) -> list[dict[str, Any]]:
        """`/fapi/v1/fundingInfo`: symbols that are not settled at the usual times."""
        return [
            {
                "symbol": name,
                "adjustedFundingRateCap": money_text(RATE_CAP),
                "adjustedFundingRateFloor": money_text(-RATE_CAP),
                "fundingIntervalHours": market.funding_hours,
                "disclaimer": False,
            }
            for name, market in self._desk.state.markets.items()
            if market.funding_hours != USUAL_HOURS
        ]

    def income(self, request: Params) -> list[dict[str, Any]]:
        """Income rows, oldest first, by `symbol`, `incomeType`, `startTime`, `endTime`, `page`, `limit`.

        Times of FUNDING_FEE are market time and those of the rest wall time, so the rows are in booking order.
        """
        most = params.limit(request, 100, 1000)
        page = params.integer(request, "page", 1)
        if page < 1:
            raise params.missing("page")
        start, end = _window(request)
        kind, symbol = request.get("incomeType", ""), request.get("symbol", "")
        if symbol:
            self._desk.rules_of(symbol)
        kinds = [kind] if kind else list(self._desk.state.income)
        rows: list[Income] = []
        for name in kinds:
            booked = self._desk.state.income.get(name, [])
            first, last = bisect_left(booked, start, key=_time), bisect_right(booked, end, key=_time)
            rows.extend(row for row in booked[first:last] if symbol in {"", row.symbol})
        rows.sort(key=_tran_id)
        if not start and not request.get("page"):
            rows = rows[-most:]
        return [income_json(row) for row in rows[(page - 1) * most : page * most]]


def _time(row: Income) -> int:
    return row.time_ms


def _tran_id(row: Income) -> int:
    return row.tran_id


def _window(request: Mapping[str, str]) -> tuple[int, int]:
    """(startTime, endTime) in ms, open-ended when absent."""
    return params.integer(request, "startTime", 0), params.integer(request, "endTime", FAR)
