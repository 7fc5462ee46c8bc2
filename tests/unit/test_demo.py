"""The demo's small decisions: how it names the command, and what a taken port is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hedgegridd.demo import ctl_command, port_taken


def test_the_command_is_named_as_it_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    venv = tmp_path / ".venv" / "bin"
    venv.mkdir(parents=True)
    python = str(venv / "python")
    assert ctl_command(python) == f"{python} -m hedgegridd.ctl.entry"
    (venv / "hedgegridctl").touch(mode=0o755)
    assert ctl_command(python) == ".venv/bin/hedgegridctl"
    monkeypatch.chdir("/")
    assert ctl_command(str(venv / "python")).endswith("/.venv/bin/hedgegridctl")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "hedgegridctl").touch(mode=0o755)
    assert ctl_command(python) == "hedgegridctl"


@pytest.mark.parametrize(
    ("code", "said", "taken"),
    [
        (1, "[control] http_host, http_port: Address already in use", True),
        (1, "[control] socket: exists and is no socket", False),
        (None, "Address already in use", False),
    ],
)
def test_a_taken_port_is_told_from_other_ends(
    tmp_path: Path, code: int | None, said: str, *, taken: bool
) -> None:
    log = tmp_path / "daemon.log"
    log.write_text(said)
    program: Any = SimpleNamespace(process=SimpleNamespace(poll=lambda: code), log=log)
    assert port_taken(program) is taken
