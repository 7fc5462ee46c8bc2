"""`limits`: tighten the pre-trade gate at run time, or loosen it as an admin."""

from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import SetLimits

LIMITS = (
    "max_order_notional_usdt",
    "max_leg_notional_usdt",
    "max_gross_notional_usdt",
    "price_collar_bps",
    "max_open_orders",
    "max_orders_per_10s",
    "max_leverage",
    "min_margin_after_pct",
    "duplicate_window_ms",
)


class Limits(Operation, frozen=True, kw_only=True):
    """Change limits of the pre-trade gate, all those that are named or none; kept over restarts.

    Any operator may tighten them; to loosen one needs an admin, `loosen` true and a reason. They bound new orders: what
    rests already stays. `status` shows every limit that differs from the config.

    Example: hedgegridctl limits --max-leg-notional-usdt 2000 --reason "weekend"
    """

    verb: ClassVar[str] = "limits"
    paths: ClassVar[tuple[str, ...]] = ("/limits",)
    role: ClassVar[Role] = Role.OPERATOR

    max_order_notional_usdt: Annotated[Decimal | None, Meta(description="of one order")] = None
    max_leg_notional_usdt: Annotated[Decimal | None, Meta(description="of a leg with its entries")] = None
    max_gross_notional_usdt: Annotated[Decimal | None, Meta(description="of all legs with their entries")] = (
        None
    )
    price_collar_bps: Annotated[Decimal | None, Meta(description="distance of an entry from mid")] = None
    max_open_orders: Annotated[Decimal | None, Meta(description="of one instrument")] = None
    max_orders_per_10s: Annotated[Decimal | None, Meta(description="of the account")] = None
    max_leverage: Annotated[Decimal | None, Meta(description="gross notional over equity")] = None
    min_margin_after_pct: Annotated[
        Decimal | None, Meta(description="of the margin, free after an entry")
    ] = None
    duplicate_window_ms: Annotated[Decimal | None, Meta(description="no equal order within it")] = None
    loosen: Annotated[bool, Meta(description="true: a limit may be loosened (admin)")] = False
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""

    def asks(self) -> bool:
        """Loosening asks for confirmation."""
        return self.loosen

    async def run(self, context: Context) -> Outcome:
        """Tell the desk; the answer has each limit's old and new value."""
        values = {name: value for name in LIMITS if (value := getattr(self, name)) is not None}
        may_loosen = self.loosen and context.caller.role >= Role.ADMIN
        command = SetLimits(values=values, reason=self.reason, may_loosen=may_loosen)
        return await context.carried_out(command, CONFIRM_S)
