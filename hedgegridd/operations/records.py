"""`records`: the newest records of the journal, in words."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role


class Records(Operation, frozen=True, kw_only=True):
    """Show the newest records of the journal, oldest first, in words with their causes.

    Example: hedgegridctl records --limit 20
    """

    verb: ClassVar[str] = "records"
    paths: ClassVar[tuple[str, ...]] = ("/journal",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER

    limit: Annotated[int, Meta(ge=1, le=1000, description="how many, 1 to 1000")] = 100

    async def run(self, context: Context) -> Outcome:
        """Read the end of the journal."""
        records = await context.archive().records(self.limit)
        return Outcome({"count": len(records), "records": records})
