"""Between daemon and venue: every way of the fault table in which requests, answers and messages go wrong.

A window of weather names a kind of fault and how often it strikes while it lasts. Nothing here decides what is right:
the venue does what reaches it, in the order in which it reaches it.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from hedgegridd.venue.transport import Answer, Lost, NotSent
from tests.sim.answers import Answers
from tests.sim.loop import SECOND, Time
from tests.sim.venue import Refusal, Venue

MS = 1_000_000
TIMEOUT_S = 5
RECV_WINDOW_MS = 5_000
UNKNOWN = b'{"msg":"Unknown error, please check your request or try again later."}'

# Fates of a call. The venue has processed it in those of DONE.
CALLS = {
    "lose_request": "never arrives, the connection is reset",
    "lose_answer": "processed, the connection is reset",
    "hang": "processed or not, no answer ever",
    "late": "arrives seconds later",
    "lost_late": "the connection is reset, and it arrives seconds later all the same",
    "unknown_done": "processed, 503 Unknown error",
    "unknown_not": "not processed, 503 Unknown error",
    "unknown_late": "503 Unknown error, and processed within the next second",
    "timeout_1007": "processed or not, -1007",
    "overload": "503 -1008, not processed",
    "limit": "429 with Retry-After",
    "ban": "418 with Retry-After",
    "skew": "-1021",
    "garbled": "processed, the answer is no JSON",
    "bad_gateway": "502, processed or not",
    "down": "no connection: refused",
    "weight": "answers say that the weight budget is nearly used",
}
# Refusals of orders for no reason that the venue model has: code, and to which calls they may come.
REFUSALS = {
    "refuse_2022": (-2022, "ReduceOnly Order is rejected.", "close"),
    "refuse_4061": (-4061, "Order's position side does not match user's setting.", "order"),
    "refuse_5022": (-5022, "could not be executed as maker", "entry"),
    "refuse_2021": (-2021, "Order would immediately trigger.", "algo"),
    "refuse_4130": (-4130, "An open stop order with closePosition is existing.", "algo"),
    "refuse_4509": (-4509, "GTE can only be used with open positions.", "algo"),
    "refuse_2019": (-2019, "Margin is insufficient.", "entry"),
    "refuse_1015": (-1015, "Too many new orders.", "order"),
}
STREAM = {
    "lose_message": "one message of the user stream never comes",
    "late_message": "it and all behind it come seconds later",
    "double_message": "it comes twice",
    "swap_message": "the next one overtakes it",
    "torn_message": "half of it comes",
}


class Weather:
    """Which faults are about, and how often they strike."""

    def __init__(self, time: Time, rng: random.Random) -> None:
        self._time, self._rng = time, rng
        self._rates: dict[str, float] = {}
        self._aims: list[list[Any]] = []  # kind, target, how many more of its calls
        self.slow = False
        self.last_bad = -(10**18)  # when a fault struck last

    def begin(self, kind: str, rate: float) -> None:
        self._rates[kind] = rate
        self.last_bad = self._time.now

    def end(self, kind: str) -> None:
        if self._rates.pop(kind, None) is not None:
            self.last_bad = self._time.now

    def aim(self, kind: str, target: str, count: int) -> list[Any]:
        """The next calls of that kind (`target_of`) meet that fate; the entry ends it earlier (`unaim`)."""
        entry = [kind, target, count]
        self._aims.append(entry)
        self.last_bad = self._time.now
        return entry

    def unaim(self, entry: list[Any]) -> None:
        """No more of it."""
        if entry in self._aims:
            self._aims.remove(entry)
            self.last_bad = self._time.now

    def hits(self, endpoint: str, params: dict[str, str]) -> str:
        """The fate that waits for this call; empty for none."""
        if not self._aims:
            return ""
        target = target_of(endpoint, params)
        for entry in self._aims:
            if entry[1] == target:
                self.last_bad = self._time.now
                entry[2] -= 1
                if not entry[2]:
                    self._aims.remove(entry)
                return str(entry[0])
        return ""

    def clear(self) -> None:
        self._rates.clear()
        self._aims.clear()
        self.slow = False
        self.last_bad = self._time.now

    @property
    def fair(self) -> bool:
        return not self._rates and not self._aims and not self.slow

    def is_on(self, kind: str) -> bool:
        return kind in self._rates

    def strikes(self, kinds: dict) -> str:
        """The fault that strikes now, one of `kinds`; empty for none."""
        for kind, rate in self._rates.items():
            if kind in kinds and self._rng.random() < rate:
                self.last_bad = self._time.now
                return kind
        return ""

    def delay(self) -> int:
        """One way to the venue or back."""
        if self.slow:
            self.last_bad = self._time.now
            return self._rng.randint(50 * MS, 1_500 * MS)
        return self._rng.randint(1 * MS, 12 * MS)


type Reply = Callable[[int, bytes, dict[str, str]], None]


class Wire:
    """All calls of one process, those of our client and those of the trading connection."""

    def __init__(
        self, time: Time, rng: random.Random, weather: Weather, answers: Answers, process: Any
    ) -> None:
        self.time, self.rng, self.weather, self.answers = time, rng, weather, answers
        self.process = process
        self.banned_until = 0

    async def open(self) -> None:
        """See `transport.Transport`."""

    async def close(self) -> None:
        """See `transport.Transport`."""

    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """A call of our signed client; raises NotSent or Lost."""
        path, _, query = url.partition("/fapi/")[2].partition("?")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(status: int, body: bytes, answered: dict[str, str]) -> None:
            if not future.done() and not self.process.dead:
                future.set_result(Answer(status, answered, body))

        def fail(error: Exception) -> None:
            if not future.done() and not self.process.dead:
                future.set_exception(error)

        self.leave(f"{method} /fapi/{path}", dict(parse_qsl(query, keep_blank_values=True)), reply, fail)
        self.time.after(TIMEOUT_S * SECOND, fail, Lost("no answer in time"))
        return await future

    def leave(
        self, endpoint: str, params: dict[str, str], reply: Reply, fail: Callable[[Exception], None]
    ) -> None:
        """A request leaves; its fate is drawn now."""
        if self.process.leaves(endpoint, params):
            return
        weather, after = self.weather, self.time.after
        if weather.is_on("down"):
            weather.last_bad = self.time.now
            self.process.lost(endpoint, params)
            after(MS, fail, NotSent("cannot connect: Connection refused"))
            return
        there = weather.delay()
        fate = weather.hits(endpoint, params) or weather.strikes(CALLS)
        if fate == "weight":
            fate = ""
        match fate:
            case "lose_request":
                self.process.lost(endpoint, params)
                after(there, fail, Lost("Server disconnected"))
            case "hang":
                if self.rng.random() < 0.5:
                    after(there, self._arrive, endpoint, params, None, fail)
                else:
                    self.process.lost(endpoint, params)
            case "late":
                after(
                    there + self.rng.randint(SECOND, 9 * SECOND), self._arrive, endpoint, params, reply, fail
                )
            case "lost_late":
                after(there, fail, Lost("Server disconnected"))
                after(
                    there + self.rng.randint(SECOND, 5 * SECOND), self._arrive, endpoint, params, None, fail
                )
            case "unknown_late":
                after(there + weather.delay(), reply, 503, UNKNOWN, {})
                after(
                    there + self.rng.randint(100 * MS, 700 * MS), self._arrive, endpoint, params, None, fail
                )
            case _:
                after(there, self._arrive, endpoint, params, reply, fail, fate)

    def _arrive(
        self,
        endpoint: str,
        params: dict[str, str],
        reply: Reply | None,
        fail: Callable[[Exception], None],
        fate: str = "",
    ) -> None:
        """The venue has the request."""
        status, body, headers, done = self._judge(endpoint, params, fate)
        if not done:
            self.process.lost(endpoint, params, _code(body))
        if done:
            try:
                answer = self.answers.answer(endpoint, params)
                if not status:
                    status, body = 200, msgspec.json.encode(answer)
                code = 0
            except Refusal as no:
                status, body, code = no.status, _no(no.code, no.msg), no.code
            self.process.processed(endpoint, params, code)
        headers["X-MBX-USED-WEIGHT-1M"] = "2200" if self.weather.is_on("weight") else "40"
        back = self.weather.delay()
        if fate == "lose_answer":
            self.time.after(back, fail, Lost("Server disconnected"))
        elif reply is not None:
            self.time.after(back, reply, status, body, headers)

    def _judge(
        self, endpoint: str, params: dict[str, str], fate: str
    ) -> tuple[int, bytes, dict[str, str], bool]:
        """Status, body and headers where they are not the venue's, and whether it is processed."""
        if self.time.now < self.banned_until:
            return self._limited(418)
        coin = self.rng.random() < 0.5
        match fate:
            case "unknown_done" | "unknown_not":
                return 503, UNKNOWN, {}, fate == "unknown_done"
            case "timeout_1007":
                return 408, _no(-1007, "Timeout waiting for response from backend server."), {}, coin
            case "overload":
                return 503, _no(-1008, "Server is currently overloaded."), {}, False
            case "limit":
                return self._limited(429)
            case "ban":
                self.banned_until = self.time.now + 8 * SECOND
                return self._limited(418)
            case "garbled":
                return 200, b"<html>", {}, True
            case "bad_gateway":
                return 502, b"Bad Gateway", {}, coin
        if fate == "skew" or not self._in_window(params):
            return 400, _no(-1021, "Timestamp for this request is outside of the recvWindow."), {}, False
        kind = _order_kind(endpoint, params)
        if kind:
            wanted = {name: x for name, x in REFUSALS.items() if x[2] in kind}
            refused = self.weather.strikes(wanted)
            if refused:
                self.process.world.note(f"weather: {refused} of {params}")
                code, msg, _ = wanted[refused]
                return 400, _no(code, msg), {}, False
        return 0, b"", {}, True

    def _in_window(self, params: dict[str, str]) -> bool:
        stamp = params.get("timestamp")
        if stamp is None:
            return True
        now_ms = self.answers.venue.ms()
        return now_ms - RECV_WINDOW_MS <= int(stamp) <= now_ms + 1_000

    def _limited(self, status: int) -> tuple[int, bytes, dict[str, str], bool]:
        left = max(self.banned_until - self.time.now, 2 * SECOND) // SECOND + 1
        return status, _no(-1003, "Too many requests."), {"Retry-After": str(left)}, False


def _no(code: int, msg: str) -> bytes:
    return msgspec.json.encode({"code": code, "msg": msg})


def _code(body: bytes) -> int:
    """The code of a refusal; 0 when there is none."""
    try:
        return int(msgspec.json.decode(body).get("code", 0))
    except (msgspec.MsgspecError, AttributeError):
        return 0


_READS = ("/fapi/v3/positionRisk", "/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders", "/fapi/v1/userTrades")


def target_of(endpoint: str, params: dict[str, str]) -> str:
    """What a call is to those who aim at it: entry, exit, close, stop, cancel, question, truth; empty: nothing."""
    method, _, path = endpoint.partition(" ")
    if method == "POST":
        if path == "/fapi/v1/algoOrder":
            return "stop"
        if path != "/fapi/v1/order":
            return ""
        if (params["side"] == "BUY") == (params["positionSide"] == "LONG"):
            return "entry"
        return "close" if params["type"] == "MARKET" else "exit"
    if method == "DELETE":
        return "cancel"
    if path in ("/fapi/v1/order", "/fapi/v1/algoOrder"):
        return "question"
    return "truth" if path in _READS else ""


def _order_kind(endpoint: str, params: dict[str, str]) -> tuple[str, ...]:
    if endpoint == "POST /fapi/v1/algoOrder":
        return ("algo", "order")
    if endpoint != "POST /fapi/v1/order":
        return ()
    opens = (params["side"] == "BUY") == (params["positionSide"] == "LONG")
    return ("entry", "order") if opens else ("close", "order")


class Stream:
    """The user stream: in order and whole, unless the weather says otherwise. One socket at a time."""

    def __init__(self, time: Time, rng: random.Random, weather: Weather, venue: Venue) -> None:
        self._time, self._rng, self._weather = time, rng, weather
        self._last = 0
        self._held: bytes | None = None  # a message that the next one overtakes
        self.hear: Callable[[bytes], None] | None = None  # the socket's other end; None: nobody
        self.silent = False
        self.count = 0
        self.on_lost: Callable[[], None] = lambda: None  # what nobody can know before the next comparison
        venue.tell = self._tell

    def open(self, hear: Callable[[bytes], None]) -> None:
        """A new socket; what was under way on the old one is lost."""
        self.hear = hear
        self.silent = False
        self._held = None
        self._last = 0

    def close(self) -> None:
        self.hear = None

    def _tell(self, message: dict) -> None:
        hear = self.hear
        if hear is None or self.silent:
            return
        raw = msgspec.json.encode(message)
        fate = self._weather.strikes(STREAM)
        delay = self._weather.delay()
        if fate in ("lose_message", "swap_message"):
            self.on_lost()
        if fate == "lose_message":
            return
        if fate == "late_message":
            delay += self._rng.randint(SECOND, 8 * SECOND)
        if fate == "torn_message":
            raw = raw[: len(raw) // 2]
        if fate == "swap_message" and self._held is None:
            self._held = raw
            return
        self._deliver(raw, delay, hear)
        if fate == "double_message":
            self._deliver(raw, delay, hear)
        held, self._held = self._held, None
        if held is not None:
            self._deliver(held, delay, hear)

    def _deliver(self, raw: bytes, delay: int, hear: Callable[[bytes], None]) -> None:
        self._last = max(self._last, self._time.now + delay)
        self._time.at(self._last, self._arrive, raw, hear)

    def _arrive(self, raw: bytes, hear: Callable[[bytes], None]) -> None:
        if self.hear is hear and not self.silent:
            self.count += 1
            hear(raw)
