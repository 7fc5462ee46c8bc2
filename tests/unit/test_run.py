"""`hedgegridd run`: what holds before the daemon lives."""

import signal
from types import SimpleNamespace

import pytest

from hedgegridd import run
from hedgegridd.config import Config, Grid
from hedgegridd.venue.rest import Credentials


class Unstarted:
    """A daemon that notes who would take a SIGINT while it opens, and cannot start."""

    seen: object = None

    def __init__(self, *_: object, **__: object) -> None:
        self.folder = SimpleNamespace(close=lambda: None)

    def open(self) -> None:
        Unstarted.seen = signal.getsignal(signal.SIGINT)
        raise OSError("no folder")


def test_a_sigint_while_it_opens_ends_the_process_instead_of_cancelling_the_main_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(run, "Daemon", Unstarted)
    try:
        assert run._run(Config(grid=(Grid(),)), Credentials("k", "s"), accept_broken_journal=False) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert Unstarted.seen is signal.SIG_DFL
    assert capsys.readouterr().err == (
        "hedgegridd: cannot start: no folder (state_dir /var/lib/hedgegridd)\n"
    )
