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


class Panicking:
    """It under way."""

    def __init__(self, config: RunConfig, *options: str) -> None:
        self.began_s = time.time()
        self.process = subprocess.Popen(  # arguments are our own
            [
                sys.executable, "-m", "hedgegridd.ctl.entry", "panic", "--config", str(config.path),
                "--yes", "--json", *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **config.environment},
        )  # fmt: skip

    def ended(self) -> Panicked:
        """Its outcome, once it has ended."""
        try:
            said, errors = self.process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        ended_s = time.time()
        facts = json.loads(said) if said else {}
        return Panicked(self.process.returncode, facts, errors.decode(), self.began_s, ended_s)


def panic(config: RunConfig, *options: str) -> Panicked:
    """Run it to its end."""
    return Panicking(config, *options).ended()
