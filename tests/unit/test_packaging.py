"""Units, man pages and scripts of an installation: they agree with each other and with the daemon."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hedgegridd import run, stopping
from hedgegridd.ctl.checks import host

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
INSTANCES = [path for path in UNITS + sorted((ROOT / "systemd").glob("*.timer")) if "@" in path.name]
SCRIPTS = [
    *(ROOT / "packaging").glob("*.sh"),
    ROOT / "packaging/first-install",
    ROOT / "systemd/alert",
    *(path for path in (ROOT / "packaging/debian").iterdir() if path.name != "control"),
]


def settings(path: Path) -> list[str]:
    return [
        line for line in path.read_text().splitlines() if "=" in line and not line.startswith(("#", "Desc"))
    ]


def value(path: Path, name: str) -> str:
    (found,) = [line.split("=", 1)[1] for line in settings(path) if line.startswith(f"{name}=")]
    return found


@pytest.mark.parametrize(
    "path", [path for path in INSTANCES if "alert" not in path.name], ids=lambda p: p.name
)
def test_an_instance_differs_from_the_plain_unit_by_its_paths_alone(path):
    plain = path.with_name(path.name.replace("@", ""))
    for paths in (
        ("/hedgegridd-%i", "/hedgegridd"),
        ("credentials-%i", "credentials"),
        ("%i.toml", "hedgegridd.toml"),
    ):
        assert paths[1] in plain.read_text() or "timer" in path.name or "backup" in path.name
    told = [line.replace("-%i", "").replace("%i.toml", "hedgegridd.toml") for line in settings(path)]
    assert told == settings(plain)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_the_exposure_of_every_unit_is_at_most_1_5(path):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_systemd_waits_longer_than_an_orderly_stop_takes():
    for name in ("hedgegridd.service", "hedgegridd@.service"):
        assert float(value(ROOT / "systemd" / name, "TimeoutStopSec")) > stopping.TIMEOUT_STOP_S
        told = {"TimeoutStopUSec": "4min 10s", "Restart": value(ROOT / "systemd" / name, "Restart")}
        assert host.unit_finding(name, told).level == "ok"


def test_no_unit_leaves_a_core_which_would_hold_the_keys():
    assert {value(path, "LimitCORE") for path in UNITS} == {"0"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_for_any_sh(path):
    text = path.read_text()
    assert text.startswith("#!/bin/sh\n")
    assert path.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=20)


def test_what_install_puts_there_uninstall_takes_away():
    put = (ROOT / "packaging/install.sh").read_text()
    gone = (ROOT / "packaging/uninstall.sh").read_text()
    for target in re.findall(r'put 644 \S+ "\$usr/([^"$]+)"', put):
        assert f'"$usr/{target}"' in gone or target.startswith("share/doc/"), target
    assert put.count('put 644 "$unit"') == gone.count('rm -f "$usr/lib/systemd/system/') == 1


def toml_page(text: str) -> str:
    spec = importlib.util.spec_from_file_location("toml_page", ROOT / "packaging/toml_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page(text)


def test_the_manual_page_of_the_config_has_every_table_and_key_of_the_example():
    text = (ROOT / "etc/hedgegridd.toml").read_text()
    page = toml_page(text).replace(r"\-", "-").replace(r"\e", "\\")
    for line in text.splitlines():
        if found := re.match(r"^(?:# )?(\[+[a-z_.]+\]+)$", line):
            assert f".SS {found[1]}" in page
        elif found := re.match(r"^(?:# )?([a-z_0-9]+ = \S.*?) +# (.*)$", line):
            assert f"\\fB{found[1]}\\fR" in page, line
            assert found[2] in page


def test_a_line_of_the_config_that_looks_like_a_command_of_roff_stays_text():
    page = toml_page('[x]\na = 1   # .5 is a half, "\\" too\n')
    assert '\\&.5 is a half, "\\e" too' in page


def test_the_manual_page_of_the_daemon_has_every_option_and_exit_code(capsys):
    page = (ROOT / "packaging/hedgegridd.8").read_text().replace(r"\-", "-")
    with pytest.raises(SystemExit):
        run.main(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) >= 6
    assert all(option in page for option in options)
    for path in UNITS:
        plain = path.name.removesuffix(".service").split("@")[0]
        assert plain in page, plain
