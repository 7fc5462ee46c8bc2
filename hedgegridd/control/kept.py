"""What is kept for looking back, as the front ends need it: the daemon's `archive.Archive` is one."""

from typing import Protocol


class Archive(Protocol):
    """What is kept for looking back."""

    async def page(
        self, table: str, limit: int, before: int | None, instrument: str | None
    ) -> list[dict[str, object]]:
        """The newest rows of a table of the history before a sequence, newest first."""
        ...

    async def records(self, limit: int) -> list[dict[str, object]]:
        """The newest records of the journal, oldest first."""
        ...

    async def backup(self, target: str) -> dict[str, object]:
        """Make a verified archive in a folder."""
        ...
