"""What panic reads of a config: venue, keys, instruments, state folder; nothing else may stand in its way."""

from pathlib import Path

import pytest

from hedgegridd.ctl.panic_settings import Settings, read
from hedgegridd.errors import ConfigError

VENUE = '[venue]\nrest_url = "http://127.0.0.1:9"\n'
GRIDS = '[[grid]]\ninstrument = "BTCUSDT-PERP"\n[[grid]]\ninstrument = "ETHUSDT-PERP"\n'
KEYS = {"HEDGEGRIDD_VENUE_API_KEY": "vk", "HEDGEGRIDD_VENUE_API_SECRET": "vs"}
OWN = {"HEDGEGRIDD_PANIC_API_KEY": "pk", "HEDGEGRIDD_PANIC_API_SECRET": "ps"}
PANIC = '[panic]\napi_key = "panic_api_key"\napi_secret = "panic_api_secret"\n'


def made(
    tmp_path: Path,
    text: str = VENUE + GRIDS,
    instrument: str | None = None,
    env: dict[str, str] | None = None,
    credentials: str | None = None,
) -> Settings:
    path = tmp_path / "h.toml"
    path.write_text(text)
    return read(path, instrument, KEYS if env is None else env, credentials)


def test_all_instruments_or_one_by_any_of_its_names(tmp_path: Path) -> None:
    assert list(made(tmp_path).symbols.values()) == ["BTCUSDT", "ETHUSDT"]
    for name in ("ETHUSDT", "ethusdt-perp", "ETHUSDT-PERP.BINANCE"):
        assert made(tmp_path, instrument=name).symbols == {"ETHUSDT-PERP.BINANCE": "ETHUSDT"}
    with pytest.raises(ConfigError, match=r"SOLUSDT.*which has BTCUSDT, ETHUSDT"):
        made(tmp_path, instrument="SOLUSDT")


def test_the_venues_figures_are_the_configs(tmp_path: Path) -> None:
    text = (
        '[daemon]\nstate_dir = "/s"\n[venue]\nenvironment = "live"\naccount = "a9"\nrecv_window_ms = 900\n'
        f"request_timeout_s = 2.5\n{GRIDS}"
    )
    found = made(tmp_path, text)
    assert (found.account, found.environment, found.url) == ("a9", "live", "https://fapi.binance.com")
    assert (found.recv_window_ms, found.timeout_s, found.state_dir) == (900, 2.5, Path("/s"))
    assert made(tmp_path).url == "http://127.0.0.1:9"
    with pytest.raises(ConfigError, match="`rest_url` is missing"):
        made(tmp_path, GRIDS)


def test_a_mistake_in_another_table_is_no_obstacle(tmp_path: Path) -> None:
    text = VENUE + GRIDS + 'stepbps = 1\n[control]\nhttp_port = "x"\n[[guard]]\ntype = "none"\n[new]\nx = 1\n'
    assert made(tmp_path, text).symbols == made(tmp_path).symbols


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (VENUE + GRIDS.replace("BTC", "\n"), "cannot read"),
        ('[venue]\nrest_urll = "x"\n' + GRIDS, "rest_urll"),
        (VENUE + "[[grid]]\ninstrument = 5\n", "instrument"),
        (VENUE, "grid"),
        (VENUE + GRIDS + '[panic]\napi_key = "A secret!"\n', "no name of a credential"),
    ],
)
def test_a_mistake_in_what_it_needs_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        read(tmp_path / "none.toml", None, KEYS, None)


def test_its_own_key_where_there_is_one_else_the_venues_with_a_warning(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert (found.credentials.key, found.credentials.secret, found.notes) == ("vk", "vs", ())
    text = VENUE + GRIDS + PANIC
    found = made(tmp_path, text, env={**KEYS, **OWN})
    assert (found.credentials.key, found.credentials.secret, found.key_name) == ("pk", "ps", "panic_api_key")
    found = made(tmp_path, text)
    assert (found.credentials.key, found.key_name) == ("vk", "venue_api_key")
    assert "panic_api_key is missing" in found.notes[0]
    with pytest.raises(ConfigError, match="venue_api_key is missing"):
        made(tmp_path, env={})


def test_keys_come_from_a_folder_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "venue_api_key").write_text("fk\n")
    (folder / "venue_api_secret").write_text("fs\n")
    assert made(tmp_path, env={}, credentials=str(folder)).credentials.key == "fk"
    assert made(tmp_path, env={"CREDENTIALS_DIRECTORY": str(folder)}).credentials.secret == "fs"
