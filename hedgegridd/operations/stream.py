"""`stream`: what happens, as it happens."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role


class Stream(Operation, frozen=True, kw_only=True):
    """Follow every event as it happens, and a beat each second that went through the trading actors.

    Over HTTP as server-sent events; on the socket and here one line each.

    Example: hedgegridctl stream --last-event-id 88412
    """

    verb: ClassVar[str] = "stream"
    paths: ClassVar[tuple[str, ...]] = ("/stream",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER
    streams: ClassVar[bool] = True
    header_fields: ClassVar[dict[str, str]] = {"Last-Event-ID": "last_event_id"}

    last_event_id: Annotated[
        Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None,
        Meta(description="go on after the event of this number"),
    ] = None

    async def run(self, context: Context) -> Outcome:
        """Take a place; the front end writes what comes."""
        return Outcome({}, feed=context.feed(self.last_event_id))
