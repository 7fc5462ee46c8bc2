"""Parameters of `[control]`, each with values that are not its default: addresses, hosts, proxy, buckets, socket."""

import asyncio
from pathlib import Path

import aiohttp
import msgspec
import pytest

from hedgegridd.app import Daemon
from hedgegridd.config import Config, Control, Grid, Venue
from hedgegridd.config import Daemon as DaemonTable
from hedgegridd.control.actor import ControlActor
from hedgegridd.control.auth import Auth
from hedgegridd.control.operation import Problem
from hedgegridd.operations import REGISTRY
from hedgegridd.venue.rest import Credentials
from tests.unit.control_fakes import FakeBus, dispatcher
from tests.unit.test_control_http import CONFIG, headers, send, served


async def test_the_socket_and_http_are_where_the_config_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.sock"
    actor = ControlActor(Control(http_host="127.0.0.2", http_port=0, socket=str(path)), dispatcher(FakeBus()))
    await actor.start()
    try:
        assert path.exists()
        assert actor.http_address.startswith("http://127.0.0.2:")
        assert not actor.http_address.endswith(":8080")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{actor.http_address}/status") as response,
        ):
            assert response.status == 200
    finally:
        await actor.stop()


async def test_the_port_is_the_configs() -> None:
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.2", 0)
    port = taken.sockets[0].getsockname()[1]
    try:
        with pytest.raises(OSError, match="http_host, http_port"):
            async with served(FakeBus(), Control(http_host="127.0.0.2", http_port=port)):
                pass
    finally:
        taken.close()
        await taken.wait_closed()


@pytest.mark.parametrize(("group", "found"), [("root", 0), (None, None)])
def test_the_group_of_the_socket(tmp_path: Path, group: str | None, found: int | None) -> None:
    control = Control(socket=str(tmp_path / "c.sock"), socket_group=group)
    assert ControlActor(control, dispatcher(FakeBus())).unix._peers.group_id == found


async def test_further_hosts_are_allowed_by_name() -> None:
    control = Control(http_port=0, keys=CONFIG.keys, hosts=("Grid.Example",))
    async with served(FakeBus(), control) as (session, _):
        for host, status in (("grid.example", 200), ("other.example", 403)):
            async with session.get("/status", headers=headers("viewer") | {"Host": host}) as response:
                assert response.status == status


@pytest.mark.parametrize(("behind", "client"), [(True, "http:203.0.113.9"), (False, "http:127.0.0.1")])
def test_behind_a_proxy_the_address_is_the_one_it_tells(behind: bool, client: str) -> None:
    auth = Auth(Control(keys=CONFIG.keys, behind_proxy=behind), lambda: 0.0)
    caller = auth.caller(REGISTRY.verbs["health"], {"X-Forwarded-For": "203.0.113.9"}, "127.0.0.1")
    assert caller.actor == client


def test_an_open_address_is_served_behind_a_proxy_with_keys() -> None:
    Auth(Control(http_host="0.0.0.0", keys=CONFIG.keys, behind_proxy=True), lambda: 0.0)  # not bound here
    with pytest.raises(ValueError, match=r"'0\.0\.0\.0' is not loopback"):
        Auth(Control(http_host="0.0.0.0"), lambda: 0.0)


@pytest.mark.parametrize(
    ("verb", "limit", "text"),
    [("status", {"reads_per_min": 2}, "2 reads"), ("throttle", {"writes_per_min": 2}, "2 writes")],
)
async def test_a_full_bucket_names_its_size(verb: str, limit: dict[str, int], text: str) -> None:
    async with served(FakeBus(), Control(http_port=0, keys=CONFIG.keys, **limit)) as (session, _):
        answers = [await send(session, verb, "operator") for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    assert text in answers[-1][1]["detail"]


@pytest.mark.parametrize("clients", [0, 1, 2])
def test_so_many_may_follow_the_stream_as_the_config_says(tmp_path: Path, clients: int) -> None:
    venue = Venue(
        rest_url="http://127.0.0.1:9", market_ws_url="ws://127.0.0.1:9", user_ws_url="ws://127.0.0.1:9"
    )
    config = Config(
        grid=(Grid(),),
        daemon=DaemonTable(state_dir=str(tmp_path)),
        venue=venue,
        control=Control(http_port=0, stream_clients=clients),
    )
    made = Daemon(config, Credentials("k", "s"))
    made.open()
    try:
        follow = made.control.http._dispatcher.services.stream
        assert follow is not None
        for _ in range(clients):
            follow(None)
        with pytest.raises(Problem, match=f"503 busy: {clients} clients"):
            follow(None)
    finally:
        made.journal.close()
        made.folder.close()


@pytest.mark.parametrize("allowed", [1, 3])
async def test_so_many_wrong_keys_are_answered_401_as_the_config_says(allowed: int) -> None:
    control = msgspec.structs.replace(CONFIG, wrong_keys_per_min=allowed)
    async with served(FakeBus(), control) as (session, _):
        seen = []
        for _ in range(allowed + 1):
            async with session.get("/status", headers={"X-API-Key": "hgd_wrong"}) as response:
                seen.append(response.status)
    assert seen == [*[401] * allowed, 429]
