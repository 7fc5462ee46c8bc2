"""The one way from a request to an operation: decode, authorise, bound, run with a deadline, and never a traceback."""

import asyncio
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from hedgegridd.control.once import Once, checked
from hedgegridd.control.operation import (
    COMMANDED,
    SAFETY_VERBS,
    Caller,
    Context,
    Operation,
    Outcome,
    Problem,
    Registry,
    Role,
    Services,
)
from hedgegridd.control.strict_json import refuse_twice
from hedgegridd.control.wording import plain

IN_FLIGHT_MAX = 64
SAFETY_IN_FLIGHT_MAX = 256  # their own lane: load of other kinds cannot take it
BODY_MAX = 64 * 1024
REPLAY_S = 300

_log = structlog.get_logger("control")
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NAMED = re.compile(r"(?:field |^)`([^`]{1,64})`")


class Dispatcher:
    """Runs operations for the socket and for HTTP alike.

    `counts` has how many ended how, by (verb, outcome), outcome being the status' class: done, working, refused, failed.
    """

    def __init__(self, registry: Registry, services: Services, once: Once | None = None) -> None:
        """`once` keeps idempotency keys; None: they end with the process."""
        self.registry = registry
        self.services = services
        self.once = once or Once(None, services.time_ns)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._busy = 0
        self._safety_busy = 0

    async def run_json(
        self,
        kind: type[Operation],
        raw: bytes,
        caller: Caller,
        *,
        key: str = "",
        admit: Callable[[Operation], None] = lambda _operation: None,
    ) -> Outcome:
        """Run an operation whose fields are a JSON object in `raw` (empty: no fields).

        `key`: the same one again gives the first answer (control/once.py); "" is none. `admit` may raise a Problem for
        what can be judged by the fields alone.

        Raises:
            Problem: whatever kept it from being done.
        """

        def decode() -> Operation:
            operation = decode_json(kind, raw)
            admit(operation)
            return operation

        return await self._run(kind, caller, key, decode)

    async def run_mapping(
        self,
        kind: type[Operation],
        fields: dict[str, Any],
        caller: Caller,
        *,
        strict: bool = True,
        key: str = "",
    ) -> Outcome:
        """Run an operation whose fields have been read already; not `strict`: all of them are text (a query string).

        Raises:
            Problem: whatever kept it from being done.
        """
        return await self._run(kind, caller, key, lambda: decode_mapping(kind, fields, strict=strict))

    async def run_signed(self, kind: type[Operation], raw: bytes, caller: Caller, digest: str) -> Outcome:
        """Run an operation that came signed; the same signed bytes again within `REPLAY_S` are refused.

        Raises:
            Problem: whatever kept it from being done.
        """
        operation = decode_json(kind, raw)  # what cannot be read takes no place among those that were seen
        refuse_control_characters(operation)
        await self.once.claim(digest, REPLAY_S)
        return await self._run(kind, caller, "", lambda: operation)

    async def _run(self, kind: type[Operation], caller: Caller, key: str, decode: Any) -> Outcome:
        started = time.monotonic()
        status = 500
        given: list[int] = []
        COMMANDED.set(given)
        try:
            authorise(kind, caller)
            operation: Operation = decode()
            refuse_control_characters(operation)
            if key and kind.method != "GET":
                outcome = await self.once.run(
                    caller.client, checked(key), operation, lambda: self._bounded(operation, caller)
                )
            else:
                outcome = await self._bounded(operation, caller)
            status = outcome.status
        except Problem as problem:
            status = problem.status
            raise
        finally:
            self._note(kind, caller, status, time.monotonic() - started, given)
        return outcome

    async def _bounded(self, operation: Operation, caller: Caller) -> Outcome:
        safety = operation.safe()
        if not safety:
            self._may_begin(operation)
        if safety:
            if self._safety_busy >= SAFETY_IN_FLIGHT_MAX:
                said = f"{SAFETY_IN_FLIGHT_MAX} safety commands are running already"
                raise Problem(503, "busy", said, begun=False)
            self._safety_busy += 1
        else:
            if self._busy >= IN_FLIGHT_MAX:
                said = f"{IN_FLIGHT_MAX} requests are running"
                raise Problem(503, "busy", said, accepted=SAFETY_VERBS, begun=False)
            self._busy += 1
        try:
            return await self._guarded(operation, Context(self.services, caller, safety))
        finally:
            if safety:
                self._safety_busy -= 1
            else:
                self._busy -= 1

    def _may_begin(self, operation: Operation) -> None:
        """Refuse a command (no safety one) that is not taken now.

        Raises:
            Problem: 409, the daemon is stopping or read-only.
        """
        if operation.method == "GET":
            return
        accepted = (*SAFETY_VERBS, "status")
        if why := self.services.stopping():
            said = f"the daemon is stopping ({why}); nothing changed"
            raise Problem(409, "refused", said, accepted=accepted, begun=False)
        if (why := self.services.read_only()) and not operation.in_read_only:
            said = f"read only ({why}); nothing changed"
            raise Problem(409, "refused", said, accepted=(*accepted, "switch"), begun=False)

    async def _guarded(self, operation: Operation, context: Context) -> Outcome:
        limit_s = operation.limit_s()
        try:
            async with asyncio.timeout(limit_s):
                return await operation.run(context)
        except Problem:
            raise
        except TimeoutError as error:
            raise Problem(
                503, "no answer", f"{operation.verb} is not confirmed after {limit_s:g} s; it may go on"
            ) from error
        except Exception as error:  # what reaches here is our bug: told in the log, not to the client
            _log.exception("operation_failed", verb=operation.verb, actor=context.caller.actor)
            raise Problem(
                500,
                "internal error",
                f"{operation.verb} failed inside; the log has it, what it did is not known",
            ) from error

    def _note(
        self, kind: type[Operation], caller: Caller, status: int, took_s: float, given: list[int]
    ) -> None:
        self.counts[kind.verb, outcome_word(status)] += 1
        if kind.method != "GET":
            took_ms = round(took_s * 1e3, 3)
            facts = {"command": given[-1]} if given else {}
            _log.info("command", verb=kind.verb, actor=caller.actor, status=status, took_ms=took_ms, **facts)


def outcome_word(status: int) -> str:
    """The class of a status for people and metrics."""
    if status == 202:
        return "working"
    if status < 400:
        return "done"
    return "refused" if status < 500 else "failed"


def authorise(kind: type[Operation], caller: Caller) -> None:
    """Refuse a caller whose role is too low.

    Raises:
        Problem: 403, naming both roles.
    """
    if caller.role < kind.role:
        have = caller.role.label if caller.role is not Role.NONE else "no role"
        raise Problem(403, "forbidden", f"{kind.verb} needs {kind.role.label}, {caller.actor} has {have}")


def decode_json(kind: type[Operation], raw: bytes) -> Operation:
    """The operation in a JSON object.

    Raises:
        Problem: 400 no JSON object, 413 too long, 422 a field is wrong.
    """
    if len(raw) > BODY_MAX:
        raise Problem(413, "too large", f"at most {BODY_MAX} bytes are read")
    try:
        operation = msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _wrong_field(kind, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed", f"the body is no JSON object: {error}") from error
    if raw:
        refuse_twice(raw)
    return operation


def decode_mapping(kind: type[Operation], fields: dict[str, Any], *, strict: bool) -> Operation:
    """The operation in fields that have been read already.

    Raises:
        Problem: 422 a field is wrong.
    """
    try:
        operation = msgspec.convert(fields, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _wrong_field(kind, error) from error
    if not strict:  # the word "null" would count as nothing, which in a query is a field left out
        for name in fields:
            if getattr(operation, name, "") is None:
                known = tuple(kind.__struct_fields__)
                detail = f"{kind.verb}: leave `{name}` out instead of naming nothing"
                raise Problem(422, "wrong value", detail, field=name, accepted=known)
    return operation


def refuse_control_characters(operation: Operation) -> None:
    """Texts go into the journal, the log and people's terminals: no control, direction or line-breaking characters.

    Raises:
        Problem: 422, naming the field.
    """
    for name in operation.__struct_fields__:
        value = getattr(operation, name)
        if isinstance(value, str) and any(unicodedata.category(char) in UNSEEN for char in value):
            detail = f"{operation.verb}: `{name}` has a control character"
            raise Problem(422, "wrong value", detail, field=name, accepted=operation.__struct_fields__)


def _wrong_field(kind: type[Operation], error: msgspec.ValidationError) -> Problem:
    text = str(error)
    known = tuple(kind.__struct_fields__)
    if text.startswith("Expected `object`") and "`$." not in text:  # the body itself, no field of it
        return Problem(400, "malformed", f"the body must be a JSON object: {text}", accepted=known)
    name, said = plain(text)
    if name is None and (found := _NAMED.search(text)):
        name = found.group(1)
    name = None if name is None else name.partition(".")[0].partition("[")[0]
    return Problem(422, "wrong value", f"{kind.verb}: {said}", field=name, accepted=known)
