"""fills, equity, records, backup and the history of positions, as the front ends run them."""

from typing import Any

import pytest

from hedgegridd.control.operation import Caller, Problem, Role
from hedgegridd.errors import BackupError, HistoryError
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import BTC, FakeArchive, FakeBus, dispatcher

ADMIN = Caller(actor="me", role=Role.ADMIN, client="me")


async def ran(archive: FakeArchive, verb: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    kind = REGISTRY.verbs[verb]
    outcome = await dispatcher(FakeBus(), archive=archive).run_mapping(kind, fields, ADMIN)
    return outcome.status, outcome.body


async def test_a_page_has_its_rows_and_where_the_next_begins() -> None:
    archive = FakeArchive()
    _, body = await ran(archive, "fills", limit=2, instrument="btcusdt")
    assert archive.asked == [("page", "fills", 3, None, BTC)]
    assert (body["count"], [row["seq"] for row in body["fills"]], body["next"]) == (2, [7, 6], 6)
    _, body = await ran(archive, "equity", limit=3, before=9)
    assert archive.asked[-1] == ("page", "equity", 4, 9, None)
    assert body["next"] is None, "the last page"


@pytest.mark.parametrize(
    ("verb", "fields"),
    [
        ("fills", {"limit": 0}),
        ("fills", {"limit": 1001}),
        ("fills", {"before": 0}),
        ("fills", {"before": 1 << 63}),  # more than a table holds
        ("positions", {"history": 1, "before": 1 << 63}),
        ("fills", {"instrument": "DOGEUSDT"}),
        ("equity", {"limit": "many"}),
        ("records", {"limit": 1001}),
        ("positions", {"history": 1001}),
        ("backup", {}),
    ],
)
async def test_bad_fields_are_refused_and_nothing_is_read(verb: str, fields: dict[str, Any]) -> None:
    archive = FakeArchive()
    with pytest.raises(Problem) as problem:
        await ran(archive, verb, **fields)
    assert problem.value.status == 422
    assert archive.asked == []


async def test_positions_tell_their_history_only_when_asked() -> None:
    archive = FakeArchive()
    assert "history" not in (await ran(archive, "positions"))[1]
    assert archive.asked == []
    _, body = await ran(archive, "positions", history=2, before=5)
    assert len(body["history"]) == 2
    assert archive.asked == [("page", "legs", 2, 5, None)]


async def test_a_backup_says_where_it_is_and_when_its_hook_failed() -> None:
    archive = FakeArchive()
    status, body = await ran(archive, "backup", folder="/srv/backup")
    assert (status, body["outcome"], body["path"]) == (200, "done", "/srv/backup/b.tar.gz")
    archive.hook = {"ok": False, "exit": 3, "said": "no route to host"}
    status, body = await ran(archive, "backup", folder="/srv/backup")
    assert (status, body["outcome"]) == (503, "hook failed")
    assert body["path"], "it is there all the same"


@pytest.mark.parametrize(
    "error", [HistoryError("the file is locked"), BackupError("no room"), OSError("gone")]
)
async def test_what_cannot_be_read_or_made_is_a_problem_with_its_reason(error: Exception) -> None:
    archive = FakeArchive()
    archive.fails = error
    for verb, fields in (("fills", {}), ("records", {}), ("backup", {"folder": "/x"})):
        with pytest.raises(Problem) as problem:
            await ran(archive, verb, **fields)
        assert (problem.value.status, problem.value.detail) == (503, str(error))


async def test_only_an_admin_makes_backups() -> None:
    kind = REGISTRY.verbs["backup"]
    operator = Caller(actor="me", role=Role.OPERATOR, client="me")
    with pytest.raises(Problem) as problem:
        await dispatcher(FakeBus()).run_mapping(kind, {"folder": "/x"}, operator)
    assert problem.value.status == 403
