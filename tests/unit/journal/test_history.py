"""trades.db: what the journal says, in tables; made again whenever it is not that."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.errors import HistoryError
from hedgegridd.journal import history
from hedgegridd.journal.history import TABLES, History, page
from hedgegridd.journal.scan import Follower, scan

from .test_replay import traded

D = Decimal


def made(folder: Path, path: Path, batch: int = 100_000) -> History:
    """A history of a whole journal."""
    found = History(path)
    found.open()
    follower = Follower(folder, found.position)
    while lines := follower.read(batch):
        found.apply(lines)
    follower.close()
    return found


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        return {table: sorted(db.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


@pytest.fixture(scope="module")
def journal_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk of a desk; its orders are recorded as the venue's actor would have them."""
    folder = tmp_path_factory.mktemp("walk") / "journal"
    desk = traded(folder, 3)
    for n, message in enumerate(
        [
            m.Fill(
                instrument="X", leg="LONG", client_order_id="id-1", venue_order_id="9", trade_id="t1", side="BUY",
                price=D("1.10"), qty=D("2.0"), commission=D("0.001"), commission_asset="USDT", maker=True, ts_ns=5,
                order_filled_qty=D("2.0"),
            ),
            m.OrderClosed(instrument="X", client_order_id="id-1", how="FILLED", filled_qty=D("2.0"), ts_ns=5),
        ]
    ):  # fmt: skip
        if n == 0:
            intent = m.CloseRaw(
                token="F-1|X|C1", instrument="X", leg="SHORT", qty=D("2.0"), client_order_id="id-1"
            )
            desk.journal.append("venue", _envelope(900_000, intent))
        desk.journal.append("desk", _envelope(900_001 + n, message))
        desk.journal.append("flatten", _envelope(900_001 + n, message))
    assert desk.journal.close()
    return folder


def _envelope(seq: int, message: m.Message) -> m.Envelope:
    return m.Envelope(seq=seq, time_ns=seq * 10**9, mono_ns=0, cause=0, actor="x", message=message)


def test_every_fill_and_income_of_the_journal_is_in_it_once(journal_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "trades.db"
    made(journal_folder, path).close()
    lines = [line for line in scan(journal_folder) if line.to == "desk"]
    told = {line.message()["trade_id"] for line in lines if line.kind == "Fill"}
    assert len(told) > 5
    fills = page(path, "fills", limit=1000)
    assert {row["trade_id"] for row in fills} == told
    assert len(fills) == len(told)
    income = {line.message()["income_id"] for line in lines if line.kind == "IncomeBooked"}
    assert {row["income_id"] for row in page(path, "funding", limit=1000)} == income
    assert path.stat().st_mode & 0o777 == 0o600


def test_figures_are_exact_text_and_orders_follow_their_events(journal_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "trades.db"
    made(journal_folder, path).close()
    newest = page(path, "fills", limit=1)[0]
    assert (newest["price"], newest["qty"], newest["commission"], newest["maker"]) == (
        "1.10",
        "2.0",
        "0.001",
        1,
    )
    (order,) = [row for row in page(path, "orders", limit=1000) if row["client_order_id"] == "id-1"]
    assert (order["status"], order["filled_qty"], order["side"], order["purpose"]) == (
        "FILLED",
        "2.0",
        "BUY",
        "C",
    )


@pytest.mark.parametrize("batch", [1, 7])
def test_small_steps_and_restarts_make_the_same_tables(
    journal_folder: Path, tmp_path: Path, batch: int
) -> None:
    whole, steps = tmp_path / "whole.db", tmp_path / "steps.db"
    made(journal_folder, whole).close()
    for _ in range(200):
        some = History(steps)
        some.open()
        follower = Follower(journal_folder, some.position)
        lines = follower.read(batch)
        some.apply(lines)
        follower.close()
        some.close()
        if not lines:
            break
    made(journal_folder, steps).close()
    assert rows(whole) == rows(steps)


@pytest.mark.parametrize("damage", ["lost", "garbage", "cut", "schema", "ahead", "no table"])
def test_what_is_not_sound_is_made_again(journal_folder: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "trades.db"
    first = made(journal_folder, path)
    end = first.position
    first.close()
    before = rows(path)
    if damage == "lost":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"no database at all" * 100)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with closing(sqlite3.connect(path)) as db, db:
            sql = {
                "schema": "UPDATE meta SET value = '0' WHERE key = 'schema'",
                "ahead": "UPDATE meta SET value = '99999999' WHERE key = 'position'",
                "no table": "DROP TABLE fills",
            }[damage]
            db.execute(sql)
    again = History(path)
    why = again.open(end)
    again.close()
    assert why
    made(journal_folder, path).close()
    assert rows(path) == before


def test_pages_go_back_to_the_first_row(journal_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "trades.db"
    made(journal_folder, path).close()
    everything = page(path, "fills", limit=1001)
    assert len(everything) > 4
    seen: list[dict[str, object]] = []
    before = None
    while some := page(path, "fills", limit=3, before=before):
        seen += some
        before = some[-1]["seq"]
    assert seen == everything
    assert [row["seq"] for row in seen] == sorted((row["seq"] for row in seen), reverse=True)
    assert page(path, "fills", limit=5, instrument="nobody") == []
    assert len(page(path, "fills", limit=5, instrument="X")) == 1


def test_old_rows_go(journal_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "trades.db"
    found = made(journal_folder, path)
    found.forget_before(900_001 * 10**9 - 1)
    found.close()
    assert len(rows(path)["fills"]) > 0
    assert all(
        row["time_ns"] >= 900_001 * 10**9 - 1
        for table in ("fills", "equity")
        for row in page(path, table, limit=1000)
    )


def account_read(number: int, at_s: int, wallet: str = "100", equity: str = "90") -> history.Line:
    account = m.VenueAccount(
        wallet_usdt=D(wallet), margin_balance_usdt=D(equity), maint_margin_usdt=D("1.5"), initial_margin_usdt=D(3),
        available_usdt=D(80), unrealized_usdt=D(-10),
    )  # fmt: skip
    read = msgspec.json.encode({"message": m.AccountRead(account=account)})
    return history.Line(number, at_s * 10**9, number, 0, "venue", "desk", "AccountRead", read)


def test_equity_is_kept_of_every_reading_of_the_account_but_not_more_often_than_it_says(
    tmp_path: Path,
) -> None:
    """Comparisons come twice a minute; the account is read every few seconds."""
    found = History(tmp_path / "trades.db")
    found.open()
    lines = [account_read(1, 100), account_read(2, 102, equity="85"), account_read(3, 105, equity="80")]
    lines.append(account_read(4, 106, wallet="101"))
    assert found.apply(lines) == 4
    found.close()
    kept = page(tmp_path / "trades.db", "equity", limit=10)
    assert [(row["seq"], row["wallet_usdt"], row["equity_usdt"]) for row in kept] == [
        (4, "101", "90"), (3, "100", "80"), (1, "100", "90"),
    ]  # fmt: skip
    assert kept[0]["maint_margin_usdt"] == "1.5"


def test_records_of_another_vocabulary_are_left_out_and_counted(tmp_path: Path) -> None:
    desk = traded(tmp_path / "journal", 1, bars=12)
    assert desk.journal.close()
    lines = [line for line in scan(tmp_path / "journal") if line.kind == "VenueTruth"][:1]
    odd = history.Line(
        10**6, 1, 10**6, 0, "x", "desk", "VenueTruth", lines[0].raw.replace(b'"account":', b'"konto":')
    )
    found = History(tmp_path / "trades.db")
    found.open()
    assert found.apply([odd]) == 1
    assert (found.left_out, found.position) == (1, 10**6)
    found.close()


def test_misuse_is_refused(tmp_path: Path) -> None:
    for table, limit in (("sqlite_master", 1), ("fills", 0), ("fills", 5000)):
        with pytest.raises(HistoryError, match="no page of"):
            page(tmp_path / "trades.db", table, limit=limit)
    with pytest.raises(HistoryError, match="unable to open"):
        page(tmp_path / "trades.db", "fills", limit=1)
    with pytest.raises(HistoryError, match="not open"):
        History(tmp_path / "x").apply([])
