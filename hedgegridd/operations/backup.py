"""`backup`: a verified archive of the state folder, made while trading goes on."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role

LIMIT_S = 1_600.0  # over the longest that `[backup]` allows


class Backup(Operation, frozen=True, kw_only=True):
    """Write a timestamped, verified archive of journal, snapshot, history and config (no secrets) into a folder.

    Trading goes on. The folder is the daemon's: an absolute path on its host. Then `[backup] hook` runs with the path.

    Example: hedgegridctl backup /srv/backup
    """

    verb: ClassVar[str] = "backup"
    paths: ClassVar[tuple[str, ...]] = ("/backup",)
    role: ClassVar[Role] = Role.ADMIN
    positional: ClassVar[tuple[str, ...]] = ("folder",)

    folder: Annotated[str, Meta(description="absolute path of a folder on the daemon's host")]

    def limit_s(self) -> float:
        """Gigabytes take their time; the daemon's own bounds come first."""
        return LIMIT_S

    async def run(self, context: Context) -> Outcome:
        """Make it; 503 when it is made but its hook failed."""
        facts = await context.archive().backup(self.folder)
        hook = facts.get("hook")
        failed = isinstance(hook, dict) and not hook["ok"]
        return Outcome({"outcome": "hook failed" if failed else "done", **facts}, 503 if failed else 200)
