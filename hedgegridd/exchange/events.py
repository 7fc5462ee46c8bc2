"""User-stream messages in the venue's field names: ORDER_TRADE_UPDATE, ACCOUNT_UPDATE, ALGO_UPDATE, MARGIN_CALL."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from hedgegridd.exchange.account import Account
from hedgegridd.exchange.matching import Book
from hedgegridd.exchange.numbers import fixed, money_text, text
from hedgegridd.exchange.state import ZERO, Algo, Leg, Order, State, Trade
from hedgegridd.exchange.types import SymbolRules, UserEvent

WAITING_MAX = 100_000  # events that may wait for `take`; more means that nobody takes them


class Outbox:
    """Builds events and keeps them in order until they are taken."""

    def __init__(
        self, rules: Mapping[str, SymbolRules], state: State, account: Account, books: Mapping[str, Book]
    ) -> None:
        self._rules = rules
        self._books = books
        self._state = state
        self._account = account
        self._waiting: list[UserEvent] = []
        self.touched: tuple[set[int], set[int]] | None = None  # ids of orders and algo orders, when asked for

    def take(self) -> list[UserEvent]:
        """The events since the last call, oldest first."""
        out, self._waiting = self._waiting, []
        return out

    def _put(self, body: dict[str, Any]) -> None:
        if len(self._waiting) >= WAITING_MAX:
            raise AssertionError(f"{WAITING_MAX} user events wait and nobody takes them")
        self._waiting.append(UserEvent(seq=self._state.next_event_seq, body=body))
        self._state.next_event_seq += 1

    def order(self, order: Order, execution: str, now_ms: int, trade: Trade | None = None) -> None:
        """ORDER_TRADE_UPDATE: `execution` is the venue's `x`; `trade` the fill it reports, if any."""
        if self.touched is not None:
            self.touched[0].add(order.id)
        rules, book = self._rules[order.symbol], self._books[order.symbol]
        body: dict[str, Any] = {
            "s": order.symbol,
            "c": order.client_id,
            "S": order.side,
            "o": order.type,
            "f": order.tif,
            "q": fixed(order.qty, rules.step),
            "p": fixed(order.price, rules.tick) if order.price else "0",
            "ap": average_price(order),
            "sp": fixed(order.stop_price, rules.tick) if order.stop_price else "0",
            "x": execution,
            "X": order.status,
            "i": order.id,
            "l": fixed(trade.qty, rules.step) if trade else "0",
            "z": fixed(order.filled, rules.step),
            "L": fixed(trade.price, rules.tick) if trade else "0",
            "T": now_ms,
            "t": trade.id if trade else 0,
            "b": money_text(book.notional("BUY")),
            "a": money_text(book.notional("SELL")),
            "m": trade.maker if trade else False,
            "R": order.closes,
            "wt": order.working_type,
            "ot": order.orig_type or order.type,
            "ps": order.leg,
            "cp": order.close_position,
            "rp": money_text(trade.realised) if trade else "0",
            "pP": False,
            "si": 0,
            "ss": 0,
            "V": order.stp,
            "pm": "NONE",
            "gtd": order.gtd_ms,
        }
        if trade:
            body["N"] = rules.quote
            body["n"] = money_text(trade.commission)
        self._put({"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": now_ms, "o": body})

    def account(self, reason: str, now_ms: int, legs: Iterable[Leg] = (), change: Decimal = ZERO) -> None:
        """ACCOUNT_UPDATE: `change` is the balance change that is neither profit nor commission."""
        wallet = money_text(self._state.wallet)
        positions = [
            {
                "s": leg.symbol,
                "pa": signed_amount(leg, self._rules[leg.symbol]),
                "ep": entry_text(leg),
                "bep": entry_text(leg),
                "cr": money_text(leg.realised),
                "up": money_text(leg.unrealised(self._account.mark(leg.symbol))),
                "mt": "isolated" if self._state.markets[leg.symbol].isolated else "cross",
                "iw": "0",
                "ps": leg.side,
                "ma": self._rules[leg.symbol].quote,
            }
            for leg in legs
        ]
        balance = {"a": "USDT", "wb": wallet, "cw": wallet, "bc": money_text(change) if change else "0"}
        data = {"m": reason, "B": [balance], "P": positions}
        self._put({"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": data})

    def algo(self, algo: Algo, now_ms: int, order: Order | None = None) -> None:
        """ALGO_UPDATE: `order` is the ordinary order it turned into, once there is one."""
        if self.touched is not None:
            self.touched[1].add(algo.id)
        rules = self._rules[algo.symbol]
        body = {
            "caid": algo.client_id,
            "aid": algo.id,
            "at": "CONDITIONAL",
            "o": algo.type,
            "s": algo.symbol,
            "S": algo.side,
            "ps": algo.leg,
            "f": algo.tif,
            "q": fixed(algo.qty, rules.step),
            "X": algo.status,
            "ai": str(algo.order_id) if algo.order_id else "",
            "ap": average_price(order) if order else "0",
            "aq": fixed(order.filled, rules.step) if order and order.filled else "0",
            "act": order.type if order else "0",
            "tp": fixed(algo.trigger, rules.tick),
            "p": fixed(algo.price, rules.tick) if algo.price else "0",
            "V": algo.stp,
            "wt": algo.working_type,
            "pm": "NONE",
            "cp": algo.close_position,
            "pP": algo.price_protect,
            "R": algo.closes,
            "tt": algo.trigger_ms,
            "gtd": algo.gtd_ms,
            "rm": algo.reason,
        }
        self._put({"e": "ALGO_UPDATE", "E": now_ms, "T": now_ms, "o": body})

    def margin_call(self, now_ms: int) -> None:
        """MARGIN_CALL over all open legs."""
        positions = [
            {
                "s": leg.symbol,
                "ps": leg.side,
                "pa": signed_amount(leg, self._rules[leg.symbol]),
                "mt": "CROSSED",
                "iw": "0",
                "mp": text(self._account.mark(leg.symbol)),
                "up": money_text(leg.unrealised(self._account.mark(leg.symbol))),
                "mm": money_text(self._account.leg_maintenance(leg)),
            }
            for leg in self._account.open_legs()
        ]
        body = {"e": "MARGIN_CALL", "E": now_ms, "cw": money_text(self._state.wallet), "p": positions}
        self._put(body)

    def assets_mode(self, *, joint: bool, now_ms: int) -> None:
        """ACCOUNT_CONFIG_UPDATE after a change of the multi-assets mode."""
        self._put({"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ai": {"j": joint}})

    def config(self, symbol: str, leverage: int, now_ms: int) -> None:
        """ACCOUNT_CONFIG_UPDATE after a leverage change."""
        body = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": symbol, "l": leverage}}
        self._put(body)


def average_price(order: Order) -> str:
    """The average fill price, eight decimals; "0" before the first fill."""
    return money_text(order.quote / order.filled) if order.filled else "0"


def entry_text(leg: Leg) -> str:
    """The average entry of a leg, eight decimals; "0.0" when flat."""
    return money_text(leg.entry) if leg.qty else "0.0"


def signed_amount(leg: Leg, rules: SymbolRules) -> str:
    """The quantity of a leg as the venue writes it: negative for SHORT."""
    return fixed(-leg.qty if leg.side == "SHORT" and leg.qty else leg.qty, rules.step)
