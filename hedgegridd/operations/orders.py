"""`orders`: all open orders, exits included."""

from typing import ClassVar

from hedgegridd.control.common import Reading
from hedgegridd.control.operation import Context, Outcome
from hedgegridd.control.views import order
from hedgegridd.messages import GetOrders, OrdersAnswer


class Orders(Reading, frozen=True, kw_only=True):
    """Show all open orders with leg, purpose, price, quantity, filled, status and age.

    Example: hedgegridctl orders --json
    """

    verb: ClassVar[str] = "orders"
    paths: ClassVar[tuple[str, ...]] = ("/orders",)

    async def run(self, context: Context) -> Outcome:
        """Ask the desk."""
        answer = await context.ask(GetOrders(), OrdersAnswer)
        now_ns = context.services.time_ns()
        shown = [order(item, now_ns) for item in self.wanted(context, answer.orders)]
        return Outcome({"count": len(shown), "orders": shown})
