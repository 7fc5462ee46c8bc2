"""`reload`: read the config file again."""

from typing import ClassVar

from hedgegridd.control.operation import Context, Operation, Outcome, Problem, Role
from hedgegridd.errors import ConfigError
from hedgegridd.messages import GetGuards, GetStatus, GuardsAnswer, StatusAnswer


class Reload(Operation, frozen=True, kw_only=True):
    """Read the config file again: what may change while trading goes on counts at once, the rest is named.

    `applied`: API keys, request limits, hosts and origins, the pre-trade gate's limits, guards and their preset.
    `needs_restart`: what else differs. A file with a mistake changes nothing; the answer has every mistake with its line.

    Example: hedgegridctl reload
    """

    verb: ClassVar[str] = "reload"
    paths: ClassVar[tuple[str, ...]] = ("/reload",)
    role: ClassVar[Role] = Role.ADMIN

    async def run(self, context: Context) -> Outcome:
        """Read, check, apply; answered when desk and guards have it.

        Raises:
            Problem: 422, the file has mistakes; 503, it cannot be read again here.
        """
        if context.services.reload is None:
            raise Problem(503, "unavailable", "there is no config file to read again", begun=False)
        try:
            found = context.services.reload(context.caller.actor)
        except (ConfigError, ValueError) as error:
            raise Problem(422, "wrong config", f"nothing changed: {error}") from error
        # Behind the event in their mailboxes: once these are answered, it has been taken up.
        await context.ask(GetStatus(), StatusAnswer)
        await context.ask(GetGuards(), GuardsAnswer)
        return await context.finished({"outcome": "done", **found})
