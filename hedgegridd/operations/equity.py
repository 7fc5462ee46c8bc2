"""`equity`: the account as the venue reported it over time, newest first, page by page."""

from typing import ClassVar

from hedgegridd.control.common import Paged
from hedgegridd.control.operation import Context, Outcome


class Equity(Paged, frozen=True, kw_only=True):
    """Show wallet, equity and maintenance margin as the venue reported them, newest first.

    Example: hedgegridctl equity --limit 20
    """

    verb: ClassVar[str] = "equity"
    paths: ClassVar[tuple[str, ...]] = ("/equity",)

    async def run(self, context: Context) -> Outcome:
        """Read the history."""
        return await self.page(context, "equity", None)
