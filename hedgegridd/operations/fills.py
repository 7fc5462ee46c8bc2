"""`fills`: the account's trades, newest first, page by page."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import Paged
from hedgegridd.control.operation import Context, Outcome


class Fills(Paged, frozen=True, kw_only=True):
    """Show the trades of the account from the history, newest first; `next` is the `before` of the page after.

    Example: hedgegridctl fills --limit 20
    """

    verb: ClassVar[str] = "fills"
    paths: ClassVar[tuple[str, ...]] = ("/fills",)
    positional: ClassVar[tuple[str, ...]] = ("instrument",)

    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None

    async def run(self, context: Context) -> Outcome:
        """Read the history."""
        return await self.page(context, "fills", context.instrument(self.instrument))
