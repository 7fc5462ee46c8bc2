"""`flatten`: cancel everything and close the legs, verified by the venue."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role, StillWorking
from hedgegridd.control.views import exact
from hedgegridd.messages import Flatten as FlattenCommand
from hedgegridd.messages import FlattenAnswer
from hedgegridd.model import LEGS, Leg

ANSWER_MARGIN_S = 1.0  # the desk answers at its deadline; this much later it is taken for hung


class Flatten(Operation, frozen=True, kw_only=True):
    """Cancel the orders of one or both legs and close them at market; entries stay off until you resume.

    Answers when the venue reports nothing left (200, `verified` true, with the proof), or when `deadline_s` has passed
    (202, `verified` false, with what is left; the work goes on). Accepted in every state; a second one joins the first.

    Example: hedgegridctl flatten both --reason "news"
    """

    verb: ClassVar[str] = "flatten"
    paths: ClassVar[tuple[str, ...]] = ("/flatten",)
    role: ClassVar[Role] = Role.OPERATOR
    safety: ClassVar[bool] = True
    confirm: ClassVar[bool] = True
    drill: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("side", "instrument")

    side: Annotated[Literal["long", "short", "both"], Meta(description="the leg to close")]
    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""
    deadline_s: Annotated[float, Meta(ge=0.1, le=300, description="seconds to wait for the proof")] = 10.0

    def limit_s(self) -> float:
        """Its own deadline, the margin, and the journal's 100 ms."""
        return self.deadline_s + ANSWER_MARGIN_S + 1.0

    async def run(self, context: Context) -> Outcome:
        """Hand it to the desk and answer with what the venue says."""
        legs = LEGS if self.side == "both" else (Leg(self.side.upper()),)
        instrument = context.instrument(self.instrument)
        command = FlattenCommand(
            legs=legs,
            instrument=instrument,
            reason=self.reason or f"asked by {context.caller.actor}",
            deadline_s=self.deadline_s,
        )
        asked: dict[str, object] = {"side": self.side, "instrument": instrument or "all"}
        try:
            answer = await context.command(command, self.deadline_s + ANSWER_MARGIN_S)
        except StillWorking as late:
            unknown: dict[str, object] = {"residuals": None, "residual_orders": None, "proof": []}
            body = {"outcome": "working", "verified": False, **asked, **unknown, "detail": str(late)}
            return await context.finished(body, status=202)
        if not isinstance(answer, FlattenAnswer):
            body = {"outcome": "working", "verified": False, **asked, "detail": "no proof was given"}
            return await context.finished(body, status=202)
        outcome = await context.finished(
            {
                "outcome": "done" if answer.verified else "working",
                "verified": answer.verified,
                **asked,
                "flatten_id": answer.flatten_id,
                "after_s": exact(answer.after_s),
                "cancelled_orders": answer.cancelled_orders,
                "closed": answer.closed,
                "residuals": answer.residuals,
                "residual_orders": answer.residual_orders,
                "stages": _stages(context, answer.flatten_id),
                "proof": list(answer.proof),
            },
            status=200 if answer.verified else 202,
        )
        if answer.journal_late:
            outcome.body["journal_late"] = True
        return outcome


def _stages(context: Context, flatten_id: str) -> list[str]:
    """What the newest lines tell of this flatten, oldest first; a long one may have pushed its first ones out."""
    texts = [str(line.get("text", "")) for line in context.services.recent()]
    return [text.removeprefix(f"{flatten_id} ") for text in texts if text.startswith(f"{flatten_id} ")]
