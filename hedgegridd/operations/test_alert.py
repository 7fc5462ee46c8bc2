"""`test_alert`: whether alerts arrive."""

from typing import Annotated, ClassVar, cast

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Problem, Role
from hedgegridd.messages import SendTestAlert

ANSWER_S = 10.0  # the daemon answers within eight, with what is true by then


class TestAlert(Operation, frozen=True, kw_only=True):
    """Send a test alert through one channel or through each, escalation channels too; answered with each one's outcome.

    200: every channel has accepted it. 202: some have not yet, and it is tried again.

    Example: hedgegridctl test_alert --channel slack
    """

    verb: ClassVar[str] = "test_alert"
    paths: ClassVar[tuple[str, ...]] = ("/alerts/test",)
    role: ClassVar[Role] = Role.OPERATOR
    in_read_only: ClassVar[bool] = True

    channel: Annotated[str, Meta(max_length=64, description="as `alerts` lists it; each when left out")] = ""

    async def run(self, context: Context) -> Outcome:
        """Send it and wait for the channels' word.

        Raises:
            Problem: 409 there is no such channel; 503 a channel refuses it for good.
        """
        command = SendTestAlert(channel=self.channel, by=context.caller.actor)
        outcome = await context.carried_out(command, ANSWER_S)
        said = cast(dict[str, str], outcome.body.get("channels") or {})
        refused = {name: words for name, words in said.items() if words.startswith("rejected")}
        if refused:
            raise Problem(
                503, "not delivered", "; ".join(f"{name}: {words}" for name, words in refused.items())
            )
        if any(not words.startswith("accepted") for words in said.values()):
            return Outcome({**outcome.body, "outcome": "working"}, status=202)
        return outcome
