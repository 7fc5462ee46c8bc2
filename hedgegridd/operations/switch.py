"""`switch`: turn a switch on or off."""

import time
from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Problem, Role
from hedgegridd.messages import GetOrders, GetSwitches, OrdersAnswer, SetSwitch, SwitchesAnswer, SwitchView
from hedgegridd.model import OrderStatus, Purpose

LOOK_S = 0.05


class Switch(Operation, frozen=True, kw_only=True):
    """Turn a switch on or off; kept over restarts. `switches` lists them.

    `read_only`, `disable_live_data` and `disable_entries` are off in peace; those of a venue, an instrument or a
    transport are on. Out of its normal place a switch holds new entries while exits and stops stay, and `read_only`
    refuses every command but flatten, kill, pause and this one. Answered when no entry of its scope rests (200), or 202.

    Example: hedgegridctl switch disable_entries true --reason "feed looks wrong"
    """

    verb: ClassVar[str] = "switch"
    paths: ClassVar[tuple[str, ...]] = ("/switches/{name}",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("name", "enabled")
    in_read_only: ClassVar[bool] = True

    name: Annotated[str, Meta(max_length=64, description="as `switches` lists it")]
    enabled: Annotated[bool, Meta(description="true: on; false: off")]
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""

    async def run(self, context: Context) -> Outcome:
        """Turn it, and see what rests.

        Raises:
            Problem: 404, no such switch.
        """
        known = await context.ask(GetSwitches(), SwitchesAnswer)
        switch = next((each for each in known.switches if each.name == self.name), None)
        if switch is None:
            raise Problem(
                404,
                "not found",
                f"`name`: no switch {self.name!r}; nothing changed",
                field="name",
                accepted=[each.name for each in known.switches],
            )
        command = SetSwitch(name=self.name, enabled=self.enabled, reason=self.reason, by=context.caller.actor)
        outcome = await context.carried_out(command, CONFIRM_S)
        if outcome.status != 200 or self.enabled == switch.normal or self.name == "read_only":
            return outcome
        resting = await _entries_left(context, switch)
        outcome.body["entries_resting"] = resting
        if resting == 0:
            return outcome
        return Outcome({**outcome.body, "outcome": "working"}, status=202)


async def _entries_left(context: Context, switch: SwitchView) -> int | None:
    """Entries of the switch's scope once there are none, or those that are left after ten seconds; None: not known."""
    import asyncio  # noqa: PLC0415  # hedgegridctl reads the operations' metadata and must start without a loop

    product = switch.name.partition(".")[2] if switch.kind == "instrument" else None
    until = time.monotonic() + CONFIRM_S - 1.0
    while True:
        orders = await context.try_ask(GetOrders(), OrdersAnswer)
        left = None
        if orders is not None:
            left = sum(
                1
                for each in orders.orders
                if each.purpose is Purpose.ENTRY
                and each.status is not OrderStatus.CLOSED
                and product in (None, each.instrument.partition(".")[0])
            )
        if left == 0 or time.monotonic() >= until:
            return left
        await asyncio.sleep(LOOK_S)
