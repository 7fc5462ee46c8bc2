"""`weights`: how the account is shared among the grids."""

from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Problem, Role
from hedgegridd.messages import SetWeights


class Weights(Operation, frozen=True, kw_only=True):
    """Share the account-wide limits among the grids by weight; kept over restarts until the config's weights change.

    Every enabled grid needs its weight; the answer has them normalised: they sum to 1. They count from the next pass on.

    Example: hedgegridctl weights BTCUSDT=2,ETHUSDT=1
    """

    verb: ClassVar[str] = "weights"
    paths: ClassVar[tuple[str, ...]] = ("/strategy/weights",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("weights",)

    weights: Annotated[
        dict[str, Decimal],
        Meta(
            min_length=1,
            max_length=100,
            description="weight of each enabled instrument, above 0 and up to 1000",
        ),
    ]
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""

    async def run(self, context: Context) -> Outcome:
        """Tell the desk.

        Raises:
            Problem: 422, an unknown instrument, one twice, or one that is missing.
        """
        named: dict[str, Decimal] = {}
        for name, weight in self.weights.items():
            instrument = _known(context, name)
            if instrument in named:
                raise _wrong(f"{name!r} stands twice")
            if not weight.is_finite() or not 0 < weight <= 1000:
                raise _wrong(f"weight of {name!r} must be above 0 and at most 1000")
            named[instrument] = weight
        return await context.carried_out(SetWeights(weights=named, reason=self.reason), CONFIRM_S)


def _known(context: Context, name: str) -> str:
    try:
        return context.instrument(name) or name
    except Problem as problem:
        problem.field = "weights"
        raise


def _wrong(text: str) -> Problem:
    return Problem(422, "wrong value", f"`weights`: {text}; nothing changed", field="weights")
