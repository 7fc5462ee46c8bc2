"""The admin port: truth, pause and step, faults, jumps, funding, transfers and manual orders, for tests and drills."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web

from hedgegridd.exchange.faults import FaultRule
from hedgegridd.exchange.feeder import Feeder
from hedgegridd.exchange.rest import Rest
from hedgegridd.exchange.settlement import FUNDING_HOURS
from hedgegridd.exchange.thin import Thin
from hedgegridd.exchange.types import UserEvent, VenueError
from hedgegridd.exchange.venue import Venue

MAX_STEP_MS = 86_400_000
MAX_TIMEOUT_MS = 600_000
MAX_TRANSFER = Decimal(1_000_000_000)
ACTS = ("cut", "expire")


class StepRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ms` of market time; `quiet_ms` and `timeout_ms` of wall time."""

    ms: int
    quiet_ms: int = 30
    timeout_ms: int = 10_000


class Jump(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Multiply the price of `symbol` by `factor` from its next tick on."""

    symbol: str
    factor: Decimal


class Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The displayed book of `symbol` from its next tick on: drawn apart by `spread_bps`, sizes at `size_pct` per cent."""

    symbol: str
    spread_bps: Decimal = Decimal(0)
    size_pct: int = 100


class Funding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set the rate (fraction) of the next settlement of `symbol`, or every how many hours it is settled, or both."""

    symbol: str
    rate: Decimal | None = None
    hours: int | None = None


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """USDT into (positive) or out of (negative) the account."""

    amount: Decimal


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The trading status of `symbol` in exchangeInfo; entries are refused unless it is TRADING."""

    symbol: str
    status: str


class Expire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The venue expires a resting order."""

    symbol: str
    order_id: int


class Deleverage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The venue auto-deleverages `qty` (base) of a leg (LONG or SHORT) at mark."""

    symbol: str
    leg: str
    qty: Decimal


class Liquidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The venue closes a whole leg (LONG or SHORT) by force."""

    symbol: str
    leg: str


class Settle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The venue delists a symbol."""

    symbol: str


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """New filters or fees of `symbol`, as exchangeInfo tells them; what is absent stays."""

    symbol: str
    tick: Decimal | None = None
    step: Decimal | None = None
    min_qty: Decimal | None = None
    max_qty: Decimal | None = None
    market_max_qty: Decimal | None = None
    min_notional: Decimal | None = None
    percent_up: Decimal | None = None
    percent_down: Decimal | None = None
    max_orders: int | None = None
    max_algo_orders: int | None = None
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None


class AccountSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another set-up of account or key; what is absent stays."""

    hedge_mode: bool | None = None
    can_trade: bool | None = None
    key_futures: bool | None = None
    key_withdraw: bool | None = None
    key_bound: bool | None = None


class Skew(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds that the venue's wall clock is ahead of the true one."""

    ms: int


Handler = Callable[[web.Request], Awaitable[Any]]


class Admin:
    """The handlers of the admin port; a bad request is answered 400 and changes nothing."""

    def __init__(self, venue: Venue, feeder: Feeder, rest: Rest) -> None:
        self._venue = venue
        self._feeder = feeder
        self._rest = rest

    def app(self) -> web.Application:
        """The application of the admin port."""
        app = web.Application(client_max_size=64 * 1024)
        for method, path, handler in (
            ("GET", "/health", self.health),
            ("GET", "/truth", self.truth),
            ("POST", "/pause", self.pause),
            ("POST", "/resume", self.resume),
            ("POST", "/step", self.step),
            ("GET", "/faults", self.list_faults),
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("POST", "/jump", self.jump),
            ("POST", "/book", self.book),
            ("POST", "/funding", self.funding),
            ("POST", "/transfer", self.transfer),
            ("POST", "/manual", self.manual),
            ("POST", "/status", self.status),
            ("POST", "/expire", self.expire),
            ("POST", "/deleverage", self.deleverage),
            ("POST", "/liquidate", self.liquidate),
            ("POST", "/settle", self.settle),
            ("POST", "/filters", self.filters),
            ("POST", "/event", self.event),
            ("POST", "/skew", self.skew),
            ("POST", "/account", self.account),
        ):
            app.router.add_route(method, path, _answered(handler))
        return app

    async def health(self, _request: web.Request) -> Any:
        """Clocks, counts, sockets: what the exchange itself is doing."""
        venue = self._venue
        return {
            "market_ms": venue.clock.now_ms(), "wall_ms": venue.wall.now_ms(),
            "paused": venue.clock.paused, "ended": venue.next_due() is None,
            "speed": float(venue.clock.speed), "slips": venue.slips, "ticks": venue.ticks_fed,
            "requests": self._rest.requests, "in_progress": self._rest.in_progress,
            "used_weight_1m": venue.limiter.weight.used, "user_events": venue.user.events_sent,
            "messages": venue.hub.messages_sent,
            "market_sockets": sum(not socket.user for socket in venue.hub.sockets),
            "user_sockets": sum(socket.user for socket in venue.hub.sockets),
        }  # fmt: skip

    async def truth(self, _request: web.Request) -> Any:
        """The account as the venue knows it."""
        return {**self._venue.engine.truth(), "market_ms": self._venue.clock.now_ms()}

    async def pause(self, _request: web.Request) -> Any:
        """Stop the market's clock."""
        self._venue.clock.pause()
        return {"paused": True, "market_ms": self._venue.clock.now_ms()}

    async def resume(self, _request: web.Request) -> Any:
        """Let the market's clock run on."""
        if self._feeder.stepping:
            raise ValueError("a step is under way")
        self._venue.clock.resume()
        return {"paused": False, "market_ms": self._venue.clock.now_ms()}

    async def step(self, request: web.Request) -> Any:
        """Advance a paused market and wait until nothing is under way."""
        asked = await _read(request, StepRequest)
        _within("ms", asked.ms, 0, MAX_STEP_MS)
        _within("quiet_ms", asked.quiet_ms, 0, MAX_TIMEOUT_MS)
        _within("timeout_ms", asked.timeout_ms, 1, MAX_TIMEOUT_MS)
        if self._feeder.stepping:
            raise ValueError("a step is under way")
        return await self._feeder.step(asked.ms, asked.quiet_ms, asked.timeout_ms)

    async def list_faults(self, _request: web.Request) -> Any:
        """The rules with their hits."""
        return self._venue.faults.rules()

    async def add_fault(self, request: web.Request) -> Any:
        """Add a rule, or do an act: `cut` the sockets of a target now, `expire` the listenKey now."""
        raw = await _read(request, dict[str, Any])
        if raw.get("kind") in ACTS:
            return self._act(raw)
        rule: FaultRule = self._venue.faults.add(raw)
        self._venue.freeze_sockets()
        return rule

    def _act(self, raw: dict[str, Any]) -> dict[str, Any]:
        kind, target = raw["kind"], raw.get("target")
        if set(raw) - {"kind", "target"}:
            raise ValueError(f"{kind} takes a target only")
        if kind == "expire":
            if target != "user":
                raise ValueError("expire goes with target 'user'")
            ended = self._venue.user.expire(self._venue.wall.now_ms(), now=True)
            self._publish()
            return {"kind": kind, "hits": int(ended)}
        if target not in ("market", "user"):
            raise ValueError("cut goes with target 'market' or 'user'")
        sockets = [socket for socket in self._venue.hub.sockets if socket.user == (target == "user")]
        for socket in sockets:
            socket.cut()
        return {"kind": kind, "hits": len(sockets)}

    async def clear_faults(self, request: web.Request) -> Any:
        """Clear the rule `?id=N`, or all."""
        text = request.query.get("id")
        if text is not None and not (text.isascii() and text.isdigit()):
            raise ValueError(f"id must be a number, not {text!r}")
        cleared = self._venue.faults.clear(None if text is None else int(text))
        self._venue.freeze_sockets()
        return {"cleared": cleared}

    async def jump(self, request: web.Request) -> Any:
        """A price jump."""
        asked = await _read(request, Jump)
        _between("factor", asked.factor, Decimal("0.01"), Decimal(100))
        market = self._venue.markets.get(asked.symbol)
        if market is None:
            raise ValueError(f"symbol {asked.symbol!r} is not traded here")
        market.jump(asked.factor)
        self._publish()
        return {"symbol": asked.symbol, "factor": asked.factor}

    async def book(self, request: web.Request) -> Any:
        """Another book from the next tick on; the defaults give the market's own back."""
        asked = await _read(request, Book)
        _between("spread_bps", asked.spread_bps, Decimal(0), Decimal(5_000))
        _within("size_pct", asked.size_pct, 0, 100)
        rules = self._venue.engine.rules_of(asked.symbol)
        self._venue.thin[asked.symbol] = Thin(
            rules=rules, spread_bps=asked.spread_bps, size_pct=asked.size_pct
        )
        return asked

    async def funding(self, request: web.Request) -> Any:
        """A new funding rate."""
        asked = await _read(request, Funding)
        if asked.rate is None and asked.hours is None:
            raise ValueError("rate or hours: neither is given")
        if asked.rate is not None:
            _between("rate", asked.rate, Decimal("-0.03"), Decimal("0.03"))
        if asked.hours is not None:
            if asked.hours not in FUNDING_HOURS:
                raise ValueError(f"hours must be one of {FUNDING_HOURS}, not {asked.hours}")
            self._venue.engine.set_funding_hours(asked.symbol, asked.hours)
        if asked.rate is not None:
            self._venue.engine.set_funding_rate(asked.symbol, asked.rate)
        self._publish()
        return asked

    async def transfer(self, request: web.Request) -> Any:
        """Money in or out."""
        asked = await _read(request, Transfer)
        _between("amount", asked.amount, -MAX_TRANSFER, MAX_TRANSFER)
        self._venue.engine.transfer(asked.amount, self._venue.wall.now_ms())
        self._publish()
        return {"amount": asked.amount}

    async def manual(self, request: web.Request) -> Any:
        """An order by hand, with the parameters of `POST /fapi/v1/order`, past key, limits and faults."""
        params = await _read(request, dict[str, str])
        try:
            return self._venue.engine.new_order(params, self._venue.wall.now_ms())
        finally:
            self._publish()

    async def status(self, request: web.Request) -> Any:
        """A symbol stops or starts trading."""
        asked = await _read(request, Status)
        self._venue.engine.set_status(asked.symbol, asked.status)
        self._publish()
        return asked

    async def expire(self, request: web.Request) -> Any:
        """The venue takes an order off by itself."""
        asked = await _read(request, Expire)
        self._venue.engine.expire_order(asked.symbol, asked.order_id, self._venue.wall.now_ms())
        self._publish()
        return asked

    async def deleverage(self, request: web.Request) -> Any:
        """The venue closes part of a leg by itself."""
        asked = await _read(request, Deleverage)
        _between("qty", asked.qty, Decimal(0), MAX_TRANSFER)
        self._venue.engine.deleverage(asked.symbol, asked.leg, asked.qty, self._venue.wall.now_ms())
        self._publish()
        return asked

    async def liquidate(self, request: web.Request) -> Any:
        """The venue closes a leg by force."""
        asked = await _read(request, Liquidate)
        self._venue.engine.liquidate(asked.symbol, asked.leg, self._venue.wall.now_ms())
        self._publish()
        return asked

    async def settle(self, request: web.Request) -> Any:
        """The venue delists a symbol."""
        asked = await _read(request, Settle)
        self._venue.engine.settle(asked.symbol, self._venue.wall.now_ms())
        self._publish()
        return asked

    async def filters(self, request: web.Request) -> Any:
        """Other filters or fees from now on."""
        asked = await _read(request, Filters)
        changes = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
        rules = self._venue.engine.set_rules(changes.pop("symbol"), changes)
        self._publish()
        return rules

    async def event(self, request: web.Request) -> Any:
        """A user-stream message as it is given: one the venue has and the exchange has no cause for."""
        body = await _read(request, dict[str, Any])
        if not isinstance(body.get("e"), str) or not body["e"]:
            raise ValueError("e: the kind of the event is missing")
        self._venue.user.publish([UserEvent(seq=0, body=body)])
        self._publish()
        return {"heard_by": self._venue.hub.listeners(self._venue.user.key)}

    async def skew(self, request: web.Request) -> Any:
        """Set the venue's wall clock apart from the true one."""
        asked = await _read(request, Skew)
        _within("ms", asked.ms, -86_400_000, 86_400_000)
        self._venue.wall.skew_ms = asked.ms
        self._publish()
        return {"ms": asked.ms}

    async def account(self, request: web.Request) -> Any:
        """Set account or key up as somebody at the venue's page would."""
        asked = await _read(request, AccountSettings)
        changes = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
        settings = self._venue.engine.set_settings(changes, self._venue.wall.now_ms())
        self._publish()
        return settings

    def _publish(self) -> None:
        self._venue.touch()
        self._venue.publish_user_events()
        self._venue.flush()


async def _read[T](request: web.Request, kind: type[T]) -> T:
    return msgspec.json.decode(await request.read(), type=kind)


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least} to {most}, not {value}")


def _between(name: str, value: Decimal, least: Decimal, most: Decimal) -> None:
    # NaN compares with nothing, and raises when asked.
    if not value.is_finite() or not least <= value <= most:
        raise ValueError(f"{name} must be {least} to {most}, not {value}")


def _answered(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        status = 200
        try:
            body = await handler(request)
        except VenueError as error:
            status, body = error.status, {"code": error.code, "msg": error.msg}
        except (ValueError, msgspec.MsgspecError) as error:
            status, body = 400, {"error": str(error)}
        return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")

    return answer
