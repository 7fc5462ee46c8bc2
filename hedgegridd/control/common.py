"""What several operations have in common: readings of the desk by instrument, and how long a command is waited for."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Protocol

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Role

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
