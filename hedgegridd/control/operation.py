"""What an operation is: one Struct from which the HTTP route, the socket verb and the command line all come.

An operation is a file in `operations/`: its fields with their bounds, who may ask for it, its docstring (the help) and
`run(context)`, which returns when its outcome is true or its deadline has passed, and says which.

In outcomes money, prices and quantities are strings (exact decimals); throttles, ratios, counts and ages in seconds are
numbers; a figure that is not known is null, never 0.
"""

import enum
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, cast

import msgspec

from hedgegridd.control.kept import Archive
from hedgegridd.errors import AskTimeout, BusError, HedgegridError, JournalError
from hedgegridd.messages import Answer, Command, Event, Message, Query, Refused

QUERY_S = 2.0  # a question to an actor in the same process; longer means that the actor hangs
DURABLE_S = 2.0
SAFETY_DURABLE_S = 0.1  # a hung disk must not stop a flatten (spec/3-safety.md)

SAFETY_VERBS = ("flatten", "kill", "pause")
"""Said to people who were refused something else: these are never refused for rate or load."""


_FLAGS: dict[str, object] = {"true": True, "false": False}  # the desk's waiters keep their facts as text


class Role(enum.IntEnum):
    """Who may: each role may do all that the ones before it may."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """The role as the config writes it."""
        return self.name.lower()


class Bus(Protocol):
    """What the front ends need of the bus."""

    async def ask(self, message: Message, deadline_s: float, *, actor: str = "") -> Answer:
        """Post `message` and wait for its answer.

        Raises:
            AskTimeout: no answer within `deadline_s` seconds; the work may go on.
            HedgegridError: it cannot be delivered, or its handler failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name for the journal, the role, and the client whose rate is counted."""

    actor: str
    role: Role
    client: str


class Problem(HedgegridError):  # noqa: N818  # named after its media type
    """A request that changed nothing: becomes `application/problem+json` (RFC 9457) or a socket's `problem`.

    `status` is the HTTP status; `field` the field at fault; `accepted` what would be accepted now. Not `begun`: it was
    turned away before anything was asked of the daemon, so that the same request may be tried again under its key.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        field: str | None = None,
        accepted: Iterable[str] = (),
        headers: dict[str, str] | None = None,
        begun: bool = True,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.begun = begun
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field
        self.accepted = tuple(accepted)
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """The problem as JSON-ready facts."""
        facts: dict[str, object] = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.detail:
            facts["detail"] = self.detail
        if self.field is not None:
            facts["field"] = self.field
        if self.accepted:
            facts["accepted"] = list(self.accepted)
        return facts


class StillWorking(HedgegridError):  # noqa: N818  # reads as the state it is
    """A command's deadline has passed without an answer: it may be carried out still (202)."""


class FeedItem(Protocol):
    """One event of a stream, encoded once for all who read it."""

    def frame(self) -> bytes:
        """As a server-sent event."""
        ...

    def tail(self) -> bytes:
        """As the rest of a socket's line after its id."""
        ...


class Feed(Protocol):
    """A client's place in the stream."""

    async def next(self) -> Sequence[FeedItem]:
        """What is new, waiting for it; nothing: the stream has ended."""
        ...

    def close(self) -> None:
        """Leave; the place is free."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation found or did; `status` 200: true now, 202: deadline passed and the work goes on, 503: not.

    With a `feed` the answer is what comes of it, until either side ends it; who gets it must close it.
    """

    body: dict[str, object]
    status: int = 200
    feed: Feed | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """What all operations share.

    `instruments` are the configured ids; `time_ns` the wall clock; `durable(timeout_s)` returns when everything posted
    so far is on disk and raises `JournalError` otherwise; `recent` gives the newest lines for people, oldest first, each `time_ns`, `seq`, `cause` (a seq, 0: from outside) and `text`;
    `account_poll_s` is how often the account's figures are read; `stopping` says why the daemon goes down, "" while it
    does not; `troubles` are parts of the daemon that broke and are restarted or out of service, in words; `read_only`
    says why commands are refused but safety ones, "" while they are not; `publish` puts an event on the bus for an
    actor; `reload` reads the config again for an actor and says what counts now (raises ConfigError, ValueError: nothing
    has changed); `stream` gives a place in it after the event of that sequence, or from now on.
    """

    bus: Bus
    instruments: tuple[str, ...]
    time_ns: Callable[[], int]
    durable: Callable[[float], Awaitable[None]]
    recent: Callable[[], list[dict[str, object]]]
    environment: str = "paper"
    account: str = ""
    account_poll_s: float = 5.0
    stopping: Callable[[], str] = str
    troubles: Callable[[], tuple[str, ...]] = tuple
    archive: Archive | None = None
    stream: Callable[[int | None], Feed] | None = None
    read_only: Callable[[], str] = str
    publish: Callable[[Event, str], None] | None = None
    reload: Callable[[str], dict[str, object]] | None = None


@dataclass(slots=True)
class Context:
    """One request: who asks, and the ways to the bus that keep the promises of the control plane."""

    services: Services
    caller: Caller
    safety: bool = False
    silent: list[str] = field(default_factory=list)  # questions that got no answer

    async def ask[A: Answer](self, query: Query, kind: type[A]) -> A:
        """The answer to a question.

        Raises:
            Problem: 503 when there is none within two seconds, 409 when it is refused.
        """
        name = type(query).__name__
        try:
            answer = await self.services.bus.ask(query, QUERY_S, actor=self.caller.actor)
        except AskTimeout as error:
            raise Problem(503, "no answer", f"{name} got no answer within {QUERY_S:g} s") from error
        except HedgegridError as error:
            raise Problem(503, "unavailable", f"{name}: {error}") from error
        if isinstance(answer, Refused):
            raise Problem(409, "refused", answer.reason, accepted=answer.accepted)
        if not isinstance(answer, kind):
            raise Problem(503, "unavailable", f"{name} was answered with {type(answer).__name__}")
        return answer

    async def try_ask[A: Answer](self, query: Query, kind: type[A]) -> A | None:
        """The answer to a question, or None when there is none; then `silent` names the question and why."""
        try:
            return await self.ask(query, kind)
        except Problem as problem:
            self.silent.append(problem.detail)
            return None

    async def command(self, command: Command, deadline_s: float) -> Answer:
        """Carry out a command: its answer, given only after the command is durable.

        Raises:
            Problem: 409 when refused (nothing changed), 503 when it could not be delivered.
            StillWorking: no answer within `deadline_s` seconds.
        """
        try:
            answer = await self.services.bus.ask(command, deadline_s, actor=self.caller.actor)
        except AskTimeout as error:
            raise StillWorking(
                f"{type(command).__name__} is not confirmed after {deadline_s:g} s; the work goes on"
            ) from error
        except BusError as error:
            raise Problem(503, "unavailable", f"nothing was done: {error}", begun=False) from error
        except HedgegridError as error:
            raise Problem(503, "failed", f"{type(command).__name__} failed: {error}") from error
        if isinstance(answer, Refused):
            said = (
                answer.reason if "nothing changed" in answer.reason else f"{answer.reason}; nothing changed"
            )
            raise Problem(409, "refused", said, accepted=answer.accepted)
        return answer

    async def carried_out(self, command: Command, deadline_s: float) -> Outcome:
        """`command` as an outcome: its facts when done (200), or what is known when the deadline passes (202)."""
        try:
            answer = await self.command(command, deadline_s)
        except StillWorking as late:
            return await self.finished({"outcome": "working", "detail": str(late)}, status=202)
        facts = cast(dict[str, object], msgspec.to_builtins(answer))
        facts.pop("to", None)
        facts.pop("type", None)
        detail = cast(dict[str, object], facts.pop("detail", {}))
        detail = {name: _FLAGS.get(str(value), value) for name, value in detail.items()}
        if detail.get("verified") is False:  # it answers at its deadline, and the work goes on
            return await self.finished({"outcome": "working", **facts, **detail}, status=202)
        return await self.finished({"outcome": "done", **facts, **detail})

    async def finished(self, body: dict[str, object], status: int = 200) -> Outcome:
        """An outcome of a command, after the journal has it.

        Safety commands wait at most 100 ms and then say `journal_late`.

        Raises:
            Problem: 503, the command took effect but is not on disk.
        """
        try:
            await self.services.durable(SAFETY_DURABLE_S if self.safety else DURABLE_S)
        except JournalError as error:
            if not self.safety:
                raise Problem(
                    503, "not durable", f"it took effect, but the journal does not have it: {error}"
                ) from error
            body["journal_late"] = True
        else:
            body.setdefault("journal_late", False)
        return Outcome(body, status)

    def feed(self, last_seq: int | None) -> Feed:
        """A place in the stream, after the event of sequence `last_seq` or from now on.

        Raises:
            Problem: 503, there is no stream here, or too many read it.
        """
        if self.services.stream is None:
            raise Problem(503, "unavailable", "nothing is streamed here")
        return self.services.stream(last_seq)

    def archive(self) -> "Archived":
        """What is kept for looking back; what it raises becomes a problem.

        Raises:
            Problem: 503, nothing is kept here.
        """
        if self.services.archive is None:
            raise Problem(503, "unavailable", "no history is kept here")
        return Archived(self.services.archive)

    def instrument(self, name: str | None) -> str | None:
        """The configured id that `name` (`btcusdt`, `BTCUSDT-PERP` or the whole id) means; None stays None.

        Raises:
            Problem: 422, no such instrument.
        """
        if name is None:
            return None
        wanted = name.upper()
        for known in self.services.instruments:
            product = known.partition(".")[0]
            if wanted in (known.upper(), product.upper(), product.upper().removesuffix("-PERP")):
                return known
        raise Problem(
            422,
            "unknown instrument",
            f"`instrument`: {name!r} is not traded here",
            field="instrument",
            accepted=self.services.instruments,
        )


class Archived:
    """An archive whose errors are problems: 503, nothing changed."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def page(
        self, table: str, limit: int, before: int | None, instrument: str | None
    ) -> list[dict[str, object]]:
        """See `Archive`."""
        return await _told(self._archive.page(table, limit, before, instrument))

    async def records(self, limit: int) -> list[dict[str, object]]:
        """See `Archive`."""
        return await _told(self._archive.records(limit))

    async def backup(self, target: str) -> dict[str, object]:
        """See `Archive`."""
        return await _told(self._archive.backup(target))


async def _told[T](work: Awaitable[T]) -> T:
    try:
        return await work
    except (HedgegridError, OSError) as error:
        raise Problem(503, "failed", str(error)) from error


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operation's fields; its class variables say how it is reached and by whom."""

    verb: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    method: ClassVar[str] = "POST"
    role: ClassVar[Role] = Role.OPERATOR
    safety: ClassVar[bool] = False  # never limited by rate, and its own lane under load
    confirm: ClassVar[bool] = False  # the command line asks for the instrument's name before it is sent
    drill: ClassVar[bool] = False  # the command line can play it on paper: then no positional field is needed
    streams: ClassVar[bool] = False  # answers with a feed instead of a body
    header_fields: ClassVar[dict[str, str]] = {}  # fields that may come in an HTTP header, by its name
    positional: ClassVar[tuple[str, ...]] = ()  # fields that the command line takes by place
    signed: ClassVar[bool] = False  # over HTTP a signature of the body may take the place of a key
    in_read_only: ClassVar[bool] = False  # taken while the switch `read_only` is on, though no safety command

    def safe(self) -> bool:
        """Whether what is asked for here is a safety command."""
        return self.safety

    def asks(self) -> bool:
        """Whether the command line has the instrument's name typed before it sends this."""
        return self.confirm

    def limit_s(self) -> float:
        """Seconds after which the front end gives up on `run`, whatever it waits for."""
        return 15.0

    async def run(self, context: Context) -> Outcome:  # noqa: ARG002  # the interface of all operations
        """Do it; return when the outcome is true or the deadline has passed."""
        raise Problem(404, "no such operation", f"{self.verb} has no run")


class Registry:
    """All operations by verb and by route.

    Raises:
        ValueError: two operations share a verb or a route, or one lacks its help.
    """

    def __init__(self, operations: Iterable[type[Operation]]) -> None:
        self.verbs: dict[str, type[Operation]] = {}
        self._exact: dict[str, dict[str, type[Operation]]] = {}
        self._templates: list[tuple[tuple[str, ...], str, type[Operation]]] = []
        for kind in operations:
            if not (kind.__doc__ or "").strip():
                raise ValueError(f"operation {kind.__name__} has no help")
            if kind.run is Operation.run:
                raise ValueError(f"operation {kind.__name__} has no run")
            if kind.verb in self.verbs:
                raise ValueError(
                    f"verb {kind.verb!r} twice: {self.verbs[kind.verb].__name__}, {kind.__name__}"
                )
            self.verbs[kind.verb] = kind
            for path in kind.paths:
                self._add_path(kind, path)

    def _add_path(self, kind: type[Operation], path: str) -> None:
        if "{" in path:
            parts = tuple(path.split("/"))
            if any(p == parts and m == kind.method for p, m, _ in self._templates):
                raise ValueError(f"route {kind.method} {path} twice")
            self._templates.append((parts, kind.method, kind))
            return
        methods = self._exact.setdefault(path, {})
        if kind.method in methods:
            raise ValueError(
                f"route {kind.method} {path} twice: {methods[kind.method].__name__}, {kind.__name__}"
            )
        methods[kind.method] = kind

    def route(self, method: str, path: str) -> tuple[type[Operation], dict[str, str]]:
        """The operation behind a route, with the fields that stand in its path.

        Raises:
            Problem: 404 no such path, 405 another method.
        """
        methods: dict[str, tuple[type[Operation], dict[str, str]]] = {
            name: (kind, {}) for name, kind in self._exact.get(path, {}).items()
        }
        parts = path.split("/")
        for template, name, kind in self._templates:
            values = _match(template, parts)
            if values is not None:
                methods.setdefault(name, (kind, values))
        if not methods:
            raise Problem(404, "not found", f"no operation at {path[:100]!r}; GET / lists them")
        if method not in methods:
            allowed = ", ".join(sorted(methods))
            raise Problem(
                405,
                "method not allowed",
                f"{path} takes {allowed}",
                accepted=methods,
                headers={"Allow": allowed},
            )
        return methods[method]


def _match(template: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    if len(template) != len(parts):
        return None
    values: dict[str, str] = {}
    for want, got in zip(template, parts, strict=True):
        if want.startswith("{"):
            if not got:
                return None
            values[want[1:-1]] = got
        elif want != got:
            return None
    return values


def summary(kind: type[Operation]) -> str:
    """First line of an operation's help."""
    return (kind.__doc__ or "").strip().partition("\n")[0]
