"""No secret leaves: logs, journal, state, metrics, pages, answers and problems of a whole run are searched for all of them."""

import gzip
import hashlib
import hmac
import http.client
import json
import re
from pathlib import Path

import pytest

from hedgegridd.control.keys import fingerprint, make
from tests.support.alert_receiver import receiver
from tests.support.programs import Daemon, running, until, write_config
from tests.support.quiet_market import GRID, entries_on_both_legs, quiet_exchange, ready

pytestmark = pytest.mark.e2e
EVENTS_SECRET = "events-secret-5f1c9be07a"
HOOK_SECRET = "hook-secret-93d2aa4c18"
WRONG_KEY = "hgd_wrong-key-of-somebody-77"
SIGNATURE = re.compile(rb"signature=[0-9a-f]{64}")


def heard(bot: Daemon, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Head and body of an answer, whatever its status."""
    connection = http.client.HTTPConnection("127.0.0.1", bot.config.http_port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": "application/json", **named})
        answer = connection.getresponse()
        head = f"{answer.status} {answer.headers}".encode()
        return head + answer.read(4 << 20)
    finally:
        connection.close()


def used(bot: Daemon, key: str) -> list[bytes]:
    """What an operator, a page and somebody with a wrong key are answered."""
    event = json.dumps({"source": "s", "action": "notify", "reason": "r"}).encode()
    signed = "sha256=" + hmac.new(EVENTS_SECRET.encode(), event, hashlib.sha256).hexdigest()
    found = [heard(bot, "GET", path) for path in ("/", "/health", "/openapi.json", "/docs", "/nowhere")]
    found += [
        heard(bot, "GET", path, X_API_Key=key)
        for path in ("/status", "/guards", "/alerts", "/journal", "/kpi", "/orders", "/switches")
    ]
    found += [
        heard(bot, "GET", f"/status?key={key}", X_API_Key=WRONG_KEY),
        heard(bot, "POST", "/throttle", b'{"throttle": 7}', X_API_Key=key),
        heard(bot, "POST", "/throttle", b'{"throttle": 0.5}', X_API_Key=key),
        heard(bot, "POST", "/kill", b"{", X_API_Key=key),
        heard(bot, "POST", "/events/external", event, X_Events_Signature=signed),
        heard(bot, "POST", "/events/external", event, X_Events_Signature=signed[:-4] + "0000"),
    ]
    assert [answer[:3] for answer in found[-6:]] == [b"401", b"422", b"200", b"400", b"200", b"401"]
    return [*found, bot.scrape().encode(), json.dumps(bot.control.ask("status"), default=str).encode()]


def kept(folder: Path) -> dict[str, bytes]:
    """Every file of the run but the credentials themselves."""
    files = {}
    for path in folder.rglob("*"):
        if path.is_file() and "credentials" not in path.parts:
            data = path.read_bytes()
            files[str(path.relative_to(folder))] = gzip.decompress(data) if path.suffix == ".gz" else data
    return files


def test_nothing_that_is_written_or_answered_has_a_secret(tmp_path: Path) -> None:
    key = make()
    with receiver() as desk, quiet_exchange(tmp_path) as venue:
        tables = {
            "[[control.keys]]": {"name": "desk", "role": "operator", "sha256": fingerprint(key)},
            "[[alert]]": {"type": "webhook", "name": "desk", "url": desk.url, "credential": "hook_secret"},
        }
        control = {"events_secret": "events_secret"}
        config = write_config(tmp_path, venue, [GRID], tables=tables, control=control)
        for name, value in (("events_secret", EVENTS_SECRET), ("hook_secret", HOOK_SECRET)):
            path = tmp_path / "credentials" / name
            path.touch(mode=0o600)
            path.write_text(value)
        # Nothing may hide behind a level: the whole log is looked at.
        config.path.write_text(config.path.read_text().replace('log_level = "info"', 'log_level = "debug"'))
        with running(config) as bot:
            ready(bot)
            entries_on_both_legs(venue, bot)
            said = used(bot, key)
            # What fails is told with its reason, and a reason may quote what was sent.
            venue.admin(
                "POST", "/faults", {"target": "rest", "kind": "status_before", "status": 503, "count": 6}
            )
            bot.control.ask("flatten", side="both", reason="search", deadline_s=60)
            until(lambda: desk.got, "an alert", 20, bot.program)
            said += [json.dumps(got.body).encode() for got in desk.got]
            said.append(bot.scrape().encode())
            assert bot.program.stop(60) == 0
        files = kept(tmp_path)
        journal = [name for name in files if "/journal/" in name]
        secrets = (venue.secret, venue.key, key, EVENTS_SECRET, HOOK_SECRET, WRONG_KEY)
    assert journal
    assert any(b'"level":"debug"' in files[name] for name in files if name.startswith("daemon")), (
        "debug is on"
    )
    places = {**files, **{f"answer {number}": answer for number, answer in enumerate(said)}}
    # The exchange prints the keys of its account: its own log is the one place that has them, and shows that a search finds.
    assert venue.secret.encode() in files["exchange.log"]
    ours = {name: data for name, data in places.items() if not name.startswith("exchange")}
    found = [
        (name, secret[:6]) for name, data in ours.items() for secret in secrets if secret.encode() in data
    ]
    assert not found
    assert not [name for name, data in ours.items() if SIGNATURE.search(data)]
    log = b"".join(data for name, data in ours.items() if name.startswith("daemon")).decode()
    commands = [json.loads(line) for line in log.splitlines() if '"event":"command"' in line]
    told = {line["verb"]: line for line in commands if line["status"] < 300}
    flat = [json.loads(line) for line in log.splitlines() if '"event":"LegFlat"' in line]
    assert flat
    assert {line["command"] for line in flat} == {told["flatten"]["command"]}, "the log names what caused it"
