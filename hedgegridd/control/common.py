"""What several operations have in common: readings of the desk by instrument, and how long a command is waited for."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Protocol

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role

SEQ_MAX = (1 << 63) - 1  # the history's tables hold no larger number
REARM_S = 21.0  # the kill switch answers within 20 s: armed, or why not; never that it goes on
CONFIRM_S = 11.0  # the desk answers within 10 s, with what is true by then


class OfInstrument(Protocol):
    """Something that names its instrument."""

    @property
    def instrument(self) -> str:
        """The instrument's id."""
        ...


class Reading(Operation, frozen=True, kw_only=True):
    """Something to look at, of one instrument or of all."""

    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER
    positional: ClassVar[tuple[str, ...]] = ("instrument",)

    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None

    def wanted[T: OfInstrument](self, context: Context, items: Iterable[T]) -> list[T]:
        """Those of the instrument asked for.

        Raises:
            Problem: 422, no such instrument.
        """
        name = context.instrument(self.instrument)
        return [item for item in items if name in (None, item.instrument)]


class Paged(Operation, frozen=True, kw_only=True):
    """A table of the history, page by page, newest first."""

    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER

    limit: Annotated[int, Meta(ge=1, le=1000, description="rows of a page, 1 to 1000")] = 100
    before: (
        Annotated[int, Meta(ge=1, le=SEQ_MAX, description="only rows before this sequence: `next` of a page")]
        | None
    ) = None

    async def page(self, context: Context, table: str, instrument: str | None) -> Outcome:
        """The page as `count`, its rows under the table's name, and `next`: null on the last page."""
        # One more than asked for tells whether there is another page.
        rows = await context.archive().page(table, self.limit + 1, self.before, instrument)
        more, rows = len(rows) > self.limit, rows[: self.limit]
        return Outcome({"count": len(rows), table: rows, "next": rows[-1]["seq"] if more else None})
