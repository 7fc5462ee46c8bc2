"""`hedgegridd check`: what it prints and how it exits."""

from pathlib import Path

import pytest

from hedgegridd.check import main, refuse_contradictions
from hedgegridd.config_load import load_places
from hedgegridd.errors import ConfigError

EXAMPLE = str(Path(__file__).parents[2] / "etc" / "hedgegridd.toml")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = main(argv)
    return code, capsys.readouterr().out


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return str(path)


def test_the_example_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "-c", EXAMPLE, "--price", "65000")
    assert code == 0
    assert "worst loss" in out
    assert "session_drawdown (trip_pct 5): flatten" in out
    assert "off: daily_loss" in out
    assert out.endswith("hedgegridd.toml is valid\n")
    assert "error" not in out
    assert "warning" not in out


def test_paper_without_addresses_is_told_before_the_start_refuses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "-c", EXAMPLE)
    assert code == 0
    assert "[venue] rest_url, market_ws_url, user_ws_url: to be set before `hedgegridd run`" in out
    code, out = run(capsys, "-c", written(tmp_path, '[venue]\nenvironment = "live"\n[[grid]]\n'))
    assert code == 0
    assert "rest_url" not in out


def test_without_a_price_it_says_what_was_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "-c", EXAMPLE)
    assert code == 0
    assert "no price given" in out


def test_errors_exit_1_with_line_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "# desk\n[[grid]]\nmax_inventory_usdt = 2000  # each\n")
    code, out = run(capsys, "-c", path, "--price", "65000")
    assert code == 1
    assert out.startswith(
        "error: LONG ladder exceeds max_inventory_usdt\n"
        " grid.toml:3 | max_inventory_usdt = 2000  # each\n"
        "             |                      ^^^^ 6 rungs need 4213\n"
        " help: raise max_inventory_usdt to 4213 or set levels_long = 3\n"
    )
    assert "2 errors, 3 warnings\n" in out
    assert "is valid" not in out


def test_warnings_alone_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "-c", written(tmp_path, "[[grid]]\n"))
    assert code == 0
    assert "`max_order_notional_usdt` is missing in [pretrade]: every entry will be refused" in out
    assert "3 warnings\n" in out


def test_a_file_that_does_not_decode_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "-c", written(tmp_path, "[[grid]]\nstepbps = 1\n"))
    assert code == 1
    assert "did you mean `step_bps`?" in out
    code, out = run(capsys, "-c", str(tmp_path / "nothing.toml"))
    assert code == 1
    assert "cannot read" in out


def test_prices_by_instrument(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, '[[grid]]\n[[grid]]\ninstrument = "ETHUSDT-PERP"\n')
    code, out = run(capsys, "-c", path, "--price", "BTCUSDT-PERP=65000", "--price", "ETHUSDT-PERP=3000")
    assert code == 0
    assert "BTCUSDT-PERP around 65000 USDT" in out
    assert "ETHUSDT-PERP: the venue's filters are read at start" in out


@pytest.mark.parametrize(
    ("price", "told"),
    [
        ("x", "is no number"),
        ("0", "above zero"),
        ("-1", "above zero"),
        ("inf", "above zero"),
        ("XRPUSDT-PERP=1", "no [[grid]] trades XRPUSDT-PERP"),
    ],
)
def test_a_wrong_price_is_a_wrong_usage(price: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["-c", EXAMPLE, f"--price={price}"])
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


def test_a_bare_price_needs_a_single_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, '[[grid]]\n[[grid]]\ninstrument = "ETHUSDT-PERP"\n')
    with pytest.raises(SystemExit):
        main(["-c", path, "--price", "5"])
    assert "BTCUSDT-PERP=5" in capsys.readouterr().err


def test_a_finding_about_a_table_that_is_not_there_names_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_contradictions(load_places("[[grid]]\n[control]\nhttp_port = 9090\n", "grid.toml"))
    assert str(caught.value).splitlines() == [
        "error: metrics and control share a port",
        " grid.toml",
        " another than http_port",
        "1 error",
    ]


def test_a_start_is_refused_by_contradictions_and_hears_of_warnings() -> None:
    assert refuse_contradictions(load_places(Path(EXAMPLE).read_text(), "example")) == ()
    told = refuse_contradictions(load_places("[[grid]]\nlevels_long = 9\n", "grid.toml"))
    assert told[0].startswith("[[grid]] levels_long: LONG rung 9 is dead")
    assert len(told) == 4
    with pytest.raises(ConfigError) as caught:
        refuse_contradictions(load_places("[[grid]]\ntp_steps = 16\nlevels_long = 9\n", "grid.toml"))
    assert "grid.toml:2 | tp_steps = 16" in str(caught.value)
    assert "dead" not in str(caught.value)
    assert len(caught.value.problems) == 1
