"""The venue calls we make, one method each: path, parameters, weight class; answers as Structs of `wire`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from hedgegridd.messages import CloseRaw, PlaceOrder
from hedgegridd.model import OrderKind, Side
from hedgegridd.venue import wire
from hedgegridd.venue.health import OrderBudget
from hedgegridd.venue.rest import Params, RestClient, VenueCallError

REST_URLS = {"live": "https://fapi.binance.com", "testnet": "https://demo-fapi.binance.com"}
BATCH = 10  # the venue's most for one batch cancel
NOT_SERVED = 404  # of a path; an unknown order is told by a code
PAGE = 1_000  # the venue's most rows of userTrades and income
_ONE_OR_MANY = cast("type[Any]", list[wire.Brackets] | wire.Brackets)
NEVER_INCOME = frozenset({"COMMISSION", "REALIZED_PNL"})  # these come with the trades


class VenueCalls:
    """Typed calls over one `RestClient`; every method raises `VenueCallError`."""

    def __init__(self, http: RestClient) -> None:
        self.http = http
        self.orders = OrderBudget()
        self._not_served: set[str] = set()

    # --- rules and settings -------------------------------------------------------------------

    async def exchange_info(self) -> wire.ExchangeInfo:
        """Symbols, filters and limits; sets the client's weight budget and the counts of orders."""
        info = await self.http.call("GET", "/fapi/v1/exchangeInfo", kind=wire.ExchangeInfo)
        self.http.weight_limit = info.weight_per_minute() or self.http.weight_limit
        self.orders.limits = info.order_counts() or self.orders.limits
        return info

    async def brackets(self, symbol: str) -> wire.Brackets | None:
        """Leverage brackets of a symbol; None when the venue does not serve them.

        By its documents the venue answers for one symbol with a list of one, or with the row itself.
        """
        try:
            found = await self._get("/fapi/v1/leverageBracket", {"symbol": symbol}, _ONE_OR_MANY)
        except VenueCallError as error:
            if error.failure.status != NOT_SERVED:
                raise
            return None
        rows: list[wire.Brackets] = found if isinstance(found, list) else [found]
        return next((row for row in rows if row.symbol == symbol), None)

    async def hedge_mode(self) -> bool:
        """Whether the account is in hedge mode."""
        return (await self._get("/fapi/v1/positionSide/dual", {}, wire.DualSide)).dualSidePosition

    async def set_hedge_mode(self) -> None:
        """Put the account into hedge mode (refused while orders or positions are open)."""
        await self._post("/fapi/v1/positionSide/dual", {"dualSidePosition": True}, wire.Code)

    async def multi_assets(self) -> bool:
        """Whether multi-asset margin is on."""
        try:
            return (await self._get("/fapi/v1/multiAssetsMargin", {}, wire.MultiAssets)).multiAssetsMargin
        except VenueCallError as error:
            if error.failure.status != NOT_SERVED:
                raise
        return False  # a venue that does not know the question does not have the mode

    async def account_config(self) -> wire.AccountConfig:
        """Modes of the account in one call of weight 5; two of weight 30 where the venue does not serve it."""
        try:
            return await self._get("/fapi/v1/accountConfig", {}, wire.AccountConfig)
        except VenueCallError as error:
            if error.failure.status != NOT_SERVED:
                raise
        multi, dual = await self.multi_assets(), await self.hedge_mode()
        return wire.AccountConfig(dualSidePosition=dual, multiAssetsMargin=multi)

    async def symbol_config(self, symbol: str) -> wire.SymbolConfig | None:
        """Leverage and margin type of a symbol as they are now."""
        rows = await self._get("/fapi/v1/symbolConfig", {"symbol": symbol}, list[wire.SymbolConfig])
        return next((row for row in rows if row.symbol == symbol), None)

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of a symbol."""
        await self._post("/fapi/v1/leverage", {"symbol": symbol, "leverage": leverage}, msgspec.Raw)

    async def set_margin_type(self, symbol: str, margin_type: str) -> None:
        """Set CROSSED or ISOLATED."""
        await self._post("/fapi/v1/marginType", {"symbol": symbol, "marginType": margin_type}, wire.Code)

    # --- market -------------------------------------------------------------------------------

    async def market_ms(self, symbol: str) -> int | None:
        """The market's clock now; None when the venue does not serve it."""
        params: Params = {"symbol": symbol}
        try:
            return (await self.http.call("GET", "/fapi/v1/premiumIndex", params, kind=wire.PremiumIndex)).time
        except VenueCallError as error:
            if error.failure.status != NOT_SERVED:
                raise
            return None

    async def mark(self, symbol: str) -> Decimal:
        """The mark price now."""
        params: Params = {"symbol": symbol}
        return (
            await self.http.call("GET", "/fapi/v1/premiumIndex", params, kind=wire.PremiumIndex)
        ).markPrice

    async def depth(self, symbol: str, levels: int) -> wire.Depth:
        """The book's best `levels` (5, 10, 20, 50, 100, 500 or 1000) of both sides; weighs 2 up to 50 of them."""
        params: Params = {"symbol": symbol, "limit": levels}
        return await self.http.call("GET", "/fapi/v1/depth", params, kind=wire.Depth)

    async def prices(self) -> dict[str, Decimal]:
        """The last price of every symbol, in one call that weighs 2."""
        rows = await self.http.call("GET", "/fapi/v1/ticker/price", kind=list[wire.PriceTicker])
        return {row.symbol: row.price for row in rows}

    async def klines(
        self,
        symbol: str,
        interval: str,
        *,
        limit: int,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[list[int | str]]:
        """Rows `[open_ms, open, high, low, close, volume, close_ms, ...]`, oldest first, the open one last."""
        params: Params = {"symbol": symbol, "interval": interval, "limit": limit}
        if start_ms is not None:
            params["startTime"] = start_ms
        if end_ms is not None:
            params["endTime"] = end_ms
        # Decoded loosely typed: rows mix integers and decimal strings.
        return await self.http.call("GET", "/fapi/v1/klines", params, kind=list[list[int | str]])

    # --- truth --------------------------------------------------------------------------------

    async def account(self) -> wire.Account:
        """The account's figures."""
        return await self._newest(["/fapi/v3/account", "/fapi/v2/account"], wire.Account)

    async def positions(self) -> list[wire.PositionRisk]:
        """Every leg that has inventory or orders."""
        return await self._newest(["/fapi/v3/positionRisk", "/fapi/v2/positionRisk"], list[wire.PositionRisk])

    async def open_orders(self, symbol: str) -> list[wire.OpenOrder]:
        """Ordinary open orders of a symbol."""
        return await self._get("/fapi/v1/openOrders", {"symbol": symbol}, list[wire.OpenOrder], safety=True)

    async def open_algos(self, symbol: str) -> list[wire.AlgoOrder]:
        """Open conditional orders of a symbol."""
        return await self._get(
            "/fapi/v1/openAlgoOrders", {"symbol": symbol}, list[wire.AlgoOrder], safety=True
        )

    async def order(
        self, symbol: str, client_order_id: str, *, venue_order_id: str | None = None
    ) -> wire.OpenOrder:
        """One ordinary order, open or not, by the venue's id where given; -2013 when the venue does not know it."""
        params: Params = {"symbol": symbol}
        if venue_order_id:
            params["orderId"] = venue_order_id
        else:
            params["origClientOrderId"] = client_order_id
        return await self._get("/fapi/v1/order", params, wire.OpenOrder, safety=True)

    async def algo(self, client_order_id: str) -> wire.AlgoOrder:
        """One conditional order, open or not; -2013 when the venue does not know it."""
        return await self._get(
            "/fapi/v1/algoOrder", {"clientAlgoId": client_order_id}, wire.AlgoOrder, safety=True
        )

    async def trades(
        self, symbol: str, *, from_id: int | None = None, order_id: int | None = None, limit: int = PAGE
    ) -> list[wire.UserTrade]:
        """Trades of the account, oldest first; the newest `limit` when neither id is given."""
        params: Params = {"symbol": symbol, "limit": limit}
        if from_id is not None:
            params["fromId"] = from_id
        if order_id is not None:
            params["orderId"] = order_id
        return await self._get("/fapi/v1/userTrades", params, list[wire.UserTrade])

    async def income(self, *, since_ms: int | None, income_type: str | None = None) -> list[wire.Income]:
        """Wallet movements at and after `since_ms`, oldest first, at most `PAGE`."""
        params: Params = {"limit": PAGE}
        if income_type is not None:
            params["incomeType"] = income_type
        if since_ms is not None:
            params["startTime"] = since_ms
        return await self._get("/fapi/v1/income", params, list[wire.Income])

    # --- orders -------------------------------------------------------------------------------

    async def place(self, symbol: str, order: PlaceOrder) -> str:
        """Send an order past everything else: conditional ones to the algo service, the rest as ordinary ones.

        Returns the venue's id of it.
        """
        if order.kind is OrderKind.STOP_MARKET:
            return await self._place_stop(symbol, order)
        assert order.qty is not None, "only closePosition stops carry no quantity"
        params: Params = {
            "symbol": symbol,
            "side": order.side.value,
            "positionSide": order.leg.value,
            "type": order.kind.value,
            "quantity": order.qty,
            "newClientOrderId": order.client_order_id,
        }
        if order.kind is OrderKind.LIMIT:
            assert order.price is not None, "a LIMIT order has a price"
            params |= {"price": order.price, "timeInForce": order.time_in_force.value}
        placed = await self._post("/fapi/v1/order", params, wire.Placed, safety=order.purpose.reduces)
        return str(placed.orderId)

    async def _place_stop(self, symbol: str, order: PlaceOrder) -> str:
        assert order.stop_price is not None, "a stop has its price"
        params: Params = {
            "algoType": "CONDITIONAL",
            "symbol": symbol,
            "side": order.side.value,
            "positionSide": order.leg.value,
            "type": order.kind.value,
            "triggerPrice": order.stop_price,
            "workingType": "MARK_PRICE",
            "clientAlgoId": order.client_order_id,
        }
        if order.close_position:
            params["closePosition"] = True
        else:
            assert order.qty is not None, "a stop without closePosition has a quantity"
            params["quantity"] = order.qty
        return str((await self._post("/fapi/v1/algoOrder", params, wire.Placed, safety=True)).algoId)

    async def close_leg(self, symbol: str, close: CloseRaw) -> wire.Placed:
        """A market order that shrinks the leg by `close.qty`; answered with its result."""
        side: Side = close.leg.exit_side
        params: Params = {
            "symbol": symbol,
            "side": side.value,
            "positionSide": close.leg.value,
            "type": "MARKET",
            "quantity": close.qty,
            "newClientOrderId": close.client_order_id,
            "newOrderRespType": "RESULT",
        }
        return await self._post("/fapi/v1/order", params, wire.Placed, safety=True)

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Cancel one ordinary order; -2011 when it no longer rests."""
        params: Params = {"symbol": symbol, "origClientOrderId": client_order_id}
        await self._delete("/fapi/v1/order", params, msgspec.Raw)

    async def cancel_algo(self, client_order_id: str) -> None:
        """Cancel one conditional order; -2011 when it no longer rests."""
        await self._delete("/fapi/v1/algoOrder", {"clientAlgoId": client_order_id}, msgspec.Raw)

    async def cancel_batch(self, symbol: str, client_order_ids: Sequence[str]) -> list[wire.CancelResult]:
        """Cancel up to `BATCH` ordinary orders; each is answered by itself, in order."""
        assert 1 <= len(client_order_ids) <= BATCH, "the venue takes ten at a time"
        ids = msgspec.json.encode(list(client_order_ids)).decode()
        params: Params = {"symbol": symbol, "origClientOrderIdList": ids}
        return await self._delete("/fapi/v1/batchOrders", params, list[wire.CancelResult])

    async def cancel_all(self, symbol: str) -> None:
        """Cancel every ordinary order of the symbol, both legs; conditional ones stay."""
        await self._delete("/fapi/v1/allOpenOrders", {"symbol": symbol}, wire.Code)

    async def countdown(self, symbol: str, countdown_ms: int) -> None:
        """Let the venue cancel the symbol's ordinary orders so long after it gets this; 0: it does not."""
        params: Params = {"symbol": symbol, "countdownTime": countdown_ms}
        await self._post("/fapi/v1/countdownCancelAll", params, msgspec.Raw, safety=True)

    # --- inside -------------------------------------------------------------------------------

    async def _get[T](self, path: str, params: Params, kind: type[T], *, safety: bool = False) -> T:
        return await self.http.call("GET", path, params, kind=kind, signed=True, safety=safety)

    async def _newest[T](self, paths: Sequence[str], kind: type[T]) -> T:
        """The first of the paths, newest version first, that the venue serves; asked with the safety reserve."""
        for path in paths[:-1]:
            if path in self._not_served:
                continue
            try:
                return await self._get(path, {}, kind, safety=True)
            except VenueCallError as error:
                if error.failure.status != NOT_SERVED:
                    raise
                self._not_served.add(path)
        return await self._get(paths[-1], {}, kind, safety=True)

    async def _post[T](self, path: str, params: Params, kind: type[T], *, safety: bool = False) -> T:
        return await self.http.call("POST", path, params, kind=kind, signed=True, safety=safety)

    async def _delete[T](self, path: str, params: Params, kind: type[T]) -> T:
        return await self.http.call("DELETE", path, params, kind=kind, signed=True, safety=True)
