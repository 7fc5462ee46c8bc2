"""`positions`: legs and their open lots."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control import views
from hedgegridd.control.common import SEQ_MAX, Reading
from hedgegridd.control.operation import Context, Outcome
from hedgegridd.messages import GetPositions, InstrumentView, LegView, StatusAnswer


class Positions(Reading, frozen=True, kw_only=True):
    """Show every leg with its quantity, average entry, stop and open lots; with --history its changes as well.

    Example: hedgegridctl positions BTCUSDT
    """

    verb: ClassVar[str] = "positions"
    paths: ClassVar[tuple[str, ...]] = ("/positions",)

    history: Annotated[
        int,
        Meta(ge=0, le=1000, description="rows of the legs' changes as the venue reported them, newest first"),
    ] = 0
    before: Annotated[int, Meta(ge=1, le=SEQ_MAX, description="only changes before this sequence")] | None = (
        None
    )

    async def run(self, context: Context) -> Outcome:
        """Ask the desk."""
        answer = await context.ask(GetPositions(), StatusAnswer)
        now_ns = context.services.time_ns()
        past: dict[str, object] = {}
        if self.history:
            name = context.instrument(self.instrument)
            past = {"history": await context.archive().page("legs", self.history, self.before, name)}
        return Outcome(
            {
                **past,
                "positions": [
                    _position(item, leg, now_ns)
                    for item in self.wanted(context, answer.view.instruments)
                    for leg in item.legs
                ],
            }
        )


def _position(item: InstrumentView, leg: LegView, now_ns: int) -> dict[str, object]:
    lots = [views.lot(lot, now_ns) for lot in leg.lots]
    grid = {"tick": views.exact(item.tick), "step": views.exact(item.step)}
    return {"instrument": item.instrument, **grid, **views.leg(leg), "lots": lots}
