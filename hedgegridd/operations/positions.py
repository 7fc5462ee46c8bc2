"""`positions`: legs and their open lots."""

from typing import ClassVar

from hedgegridd.control import views
from hedgegridd.control.common import Reading
from hedgegridd.control.operation import Context, Outcome
from hedgegridd.messages import GetPositions, InstrumentView, LegView, StatusAnswer


class Positions(Reading, frozen=True, kw_only=True):
    """Show every leg with its quantity, average entry, stop and open lots.

    Example: hedgegridctl positions BTCUSDT
    """

    verb: ClassVar[str] = "positions"
    paths: ClassVar[tuple[str, ...]] = ("/positions",)

    async def run(self, context: Context) -> Outcome:
        """Ask the desk."""
        answer = await context.ask(GetPositions(), StatusAnswer)
        now_ns = context.services.time_ns()
        return Outcome(
            {
                "positions": [
                    _position(item, leg, now_ns)
                    for item in self.wanted(context, answer.view.instruments)
                    for leg in item.legs
                ]
            }
        )


def _position(item: InstrumentView, leg: LegView, now_ns: int) -> dict[str, object]:
    lots = [views.lot(lot, now_ns) for lot in leg.lots]
    grid = {"tick": views.exact(item.tick), "step": views.exact(item.step)}
    return {"instrument": item.instrument, **grid, **views.leg(leg), "lots": lots}
