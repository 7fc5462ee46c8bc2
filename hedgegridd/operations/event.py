"""`event`: something outside asks for more caution."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Problem, Role
from hedgegridd.messages import ExternalSignal, GetGuards, GuardsAnswer, Scope
from hedgegridd.model import Leg

NEAR_S = 300


class Event(Operation, frozen=True, kw_only=True):
    """Let the guard `external` ask for caution: it notifies, throttles, trims, pauses, halts or flattens as `action` says.

    Over HTTP a signature of the body takes the place of a key: `X-Events-Signature: sha256=<hex HMAC-SHA256 of the body>`, by the
    secret that `[control] events_secret` names. The same bytes again within 5 minutes are refused; a `sent_at` further
    than that from now is too, so give one. A signal can only ask for more caution, never for less.

    Example: hedgegridctl event scanner pause --reason "funding spike" --hold-s 600
    """

    verb: ClassVar[str] = "event"
    paths: ClassVar[tuple[str, ...]] = ("/events/external",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("source", "action")
    signed: ClassVar[bool] = True
    in_read_only: ClassVar[bool] = True

    source: Annotated[str, Meta(min_length=1, max_length=64, description="who asks")]
    action: Annotated[
        str,
        Meta(
            pattern=r"^(notify|pause|halt|flatten|throttle:0(\.\d{1,6})?|trim:(0\.\d{0,5}[1-9]|1))$",
            max_length=20,
            description="notify, throttle:x, trim:x, pause, halt or flatten, as a guard's",
        ),
    ]
    instrument: Annotated[str | None, Meta(description="one instrument; the account when left out")] = None
    side: Annotated[
        Literal["long", "short"] | None, Meta(description="one leg of the instrument; both when left out")
    ] = None
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal, shown in status")] = ""
    hold_s: Annotated[
        int, Meta(ge=0, le=86400, description="seconds that it holds; 0: as the guard's table says")
    ] = 0
    id: Annotated[
        str, Meta(max_length=64, description="the sender's own; made from the event if left out")
    ] = ""
    sent_at: Annotated[int, Meta(ge=0, description="seconds of the wall clock, UTC")] | None = None

    async def run(self, context: Context) -> Outcome:
        """Put it on the bus; `event_id` names it in the journal.

        Raises:
            Problem: 409 the guard is off, 422 too old or a leg of no instrument, 503 there is no bus.
        """
        now_ns = context.services.time_ns()
        if self.sent_at is not None and abs(now_ns // 10**9 - self.sent_at) > NEAR_S:
            raise Problem(
                422,
                "wrong value",
                f"`sent_at` must be within {NEAR_S} s of {now_ns // 10**9}; nothing changed",
                field="sent_at",
            )
        if self.side is not None and self.instrument is None:
            raise Problem(422, "wrong value", "`side`: of which `instrument`?", field="side")
        instrument = context.instrument(self.instrument)
        guards = await context.ask(GetGuards(), GuardsAnswer)
        if "external" in guards.off:
            raise Problem(
                409, "refused", "the guard `external` is off: nothing would follow; nothing changed"
            )
        if context.services.publish is None:
            raise Problem(503, "unavailable", "there is no bus to tell it to", begun=False)
        signal = ExternalSignal(
            event_id=self.id or f"X-{now_ns:x}",
            source=self.source,
            action=self.action,
            scope=Scope(instrument=instrument, leg=None if self.side is None else Leg(self.side.upper())),
            reason=self.reason,
            hold_s=self.hold_s,
        )
        context.services.publish(signal, context.caller.actor)
        return await context.finished({"outcome": "done", "event_id": signal.event_id, "action": self.action})
