"""`hedgegridctl panic` as a process, for tests and benchmarks."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import msgspec

from tests.support.programs import ROOT, RunConfig

END_S = 90.0


class Panicked(msgspec.Struct, frozen=True):
    """How it ended: exit code, its JSON, and wall times of its beginning and end in seconds."""

    code: int
    facts: dict[str, Any]
    errors: str
    began_s: float
    ended_s: float

    @property
    def passed(self) -> bool:
        """PASS, by its word and by its exit code."""
        return self.code == 0 and self.facts["verdict"] == "PASS"


def command(config: RunConfig, *options: str) -> list[str]:
    """The command line, as installed it is `hedgegridctl panic ...`."""
    return [
        sys.executable, "-m", "hedgegridd.ctl.entry", "panic", "--config", str(config.path), "--yes", "--json",
        *options,
    ]  # fmt: skip


def panic(config: RunConfig, *options: str, environment: dict[str, str] | None = None) -> Panicked:
    """Run it to its end."""
    began_s = time.time()
    done = subprocess.run(  # arguments are our own
        command(config, *options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **config.environment, **(environment or {})},
        timeout=END_S,
        check=False,
    )
    facts = json.loads(done.stdout) if done.stdout else {}
    return Panicked(done.returncode, facts, done.stderr.decode(), began_s, time.time())
