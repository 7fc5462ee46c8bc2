"""`hedgegridd exchange` as a process: it says where it is, trades, and ends clean on a signal."""

import asyncio
import signal
import sys

import aiohttp
import pytest

from hedgegridd.exchange.main import options_of

RUN = "import sys; from hedgegridd.exchange.main import main; sys.exit(main(sys.argv[1:]))"


async def started(*argv: str) -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said: dict[str, str] = {}
    while line := (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip():
        if line == "READY":
            break
        name, value = line.rsplit(None, 1)
        said[name.strip()] = value
    return process, said


async def hang(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(url):
        pass


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_and_ends_clean_on_a_signal(number: signal.Signals) -> None:
    process, said = await started("--speed", "10", "--api-key", "k", "--api-secret", "s")
    try:
        assert (said["api key"], said["api secret"]) == ("k", "s")
        async with aiohttp.ClientSession() as http:
            async with http.get(said["rest"] + "/fapi/v1/ping") as answer:
                assert answer.status == 200
            async with http.get(said["admin"] + "/health") as answer:
                assert (await answer.json())["paused"] is False
            # Neither an open socket nor a hanging request keeps it from ending.
            rule = {"target": "rest", "kind": "hang", "path": "/fapi/v1/time"}
            async with http.post(said["admin"] + "/faults", json=rule) as answer:
                assert answer.status == 200
            hanging = asyncio.create_task(hang(http, said["rest"] + "/fapi/v1/time"))
            async with http.ws_connect(said["websocket"] + "/ws/btcusdt@bookTicker") as socket:
                assert (await asyncio.wait_for(socket.receive_json(), 5))["e"] == "bookTicker"
                process.send_signal(number)
                _, err = await asyncio.wait_for(process.communicate(), 10)
            with pytest.raises(aiohttp.ClientError):
                await hanging
        assert process.returncode == 0
        assert "Traceback" not in err.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.e2e
async def test_credentials_of_a_folder_are_used_and_not_printed(tmp_path) -> None:
    (tmp_path / "venue_api_key").write_text("key-of-the-folder\n")
    (tmp_path / "venue_api_secret").write_text("secret-of-the-folder\n")
    process, said = await started("--credentials", str(tmp_path))
    try:
        async with aiohttp.ClientSession() as http:
            for key, code in (("key-of-the-folder", -1102), ("another", -2015)):
                headers = {"X-MBX-APIKEY": key}
                async with http.get(said["rest"] + "/fapi/v3/balance", headers=headers) as answer:
                    assert (await answer.json())["code"] == code
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 10)
        assert "-of-the-folder" not in f"{said}{out!r}{err!r}"
        assert set(said) == {"rest", "websocket", "admin"}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (("--credentials", "/nonexistent"), "nonexistent"),
        (("--symbols", "NOPE"), "NOPE"),
        (("--symbols", ""), "symbol"),
        (("--market", "replay"), "data"),
        (("--market", "replay", "--data", "/nonexistent.csv"), "nonexistent"),
    ],
)
async def test_options_that_do_not_fit_are_named(argv: tuple[str, ...], word: str) -> None:
    process, _ = await started(*argv)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 2
    assert word in err.decode()
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize(
    "argv",
    [("--speed", "0"), ("--speed", "fast"), ("--port", "70000"), ("--deposit", "-1"), ("--market", "real")],
)
def test_a_bad_value_is_refused_by_the_command_line(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options_of(argv)
    assert ended.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_every_option_of_the_command_line_arrives() -> None:
    argv = (
        "--host", "127.0.0.2", "--port", "1", "--admin-port", "2", "--market", "replay", "--data", "f.csv", "--seed", "3",
        "--speed", "2.5", "--symbols", "ethusdt, btcusdt", "--deposit", "5", "--tick-rate", "7", "--history-bars", "9",
        "--api-key", "k", "--api-secret", "s", "--start-paused", "--no-rate-limits",
        "--start-ms", "8", "--regime", "crash", "--latency-ms", "4", "--jitter-ms", "6", "--no-partial-fills",
        "--countdown-cancels-algo", "--no-flat-stop", "--exits-reserve", "--funding-hours", "4", "--state", "s.db",
    )  # fmt: skip
    options, plain = options_of(argv), options_of(())
    same = [name for name in plain.__struct_fields__ if getattr(options, name) == getattr(plain, name)]
    assert same == ["admin_host", "backlog_bytes"]
    assert options.symbols == ("ETHUSDT", "BTCUSDT")
