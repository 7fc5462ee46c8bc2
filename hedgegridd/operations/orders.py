"""`orders`: all open orders, exits included."""

from typing import ClassVar

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.views import order
from hedgegridd.messages import GetOrders, OrdersAnswer


class Orders(Operation, frozen=True, kw_only=True):
    """Show all open orders with leg, purpose, price, quantity, filled, status and age.

    Example: hedgegridctl orders --json
    """

    verb: ClassVar[str] = "orders"
    paths: ClassVar[tuple[str, ...]] = ("/orders",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER
    positional: ClassVar[tuple[str, ...]] = ("instrument",)

    instrument: str | None = None

    async def run(self, context: Context) -> Outcome:
        """Ask the desk."""
        wanted = context.instrument(self.instrument)
        answer = await context.ask(GetOrders(), OrdersAnswer)
        now_ns = context.services.time_ns()
        shown = [order(item, now_ns) for item in answer.orders if wanted in (None, item.instrument)]
        return Outcome({"count": len(shown), "orders": shown})
