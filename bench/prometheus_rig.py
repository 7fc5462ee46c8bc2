"""A real Prometheus (Debian package) that scrapes one daemon by a copy of our config and rules, for benches."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bench.observability import Prometheus, Wrong, reload_prometheus
from tests.support.observability import ETC, RULES
from tests.support.programs import ProgramError, free_port

READY_S = 60.0
POLL_S = 0.2
SCRAPE_S = 2

type Changes = Mapping[str, tuple[tuple[str, str], ...]]


def shortened(changes: Changes) -> dict[str, str]:
    """Our rules by file name, with other thresholds and windows: for each rule pairs of (text, its replacement).

    Raises ProgramError when a text is not in its rule: the drill would try something else than it says.
    """
    found = {}
    known = set()
    for path in RULES:
        tree: dict[str, Any] = yaml.safe_load(path.read_text())
        for rule in (rule for group in tree["groups"] for rule in group["rules"]):
            name = rule.get("alert") or rule["record"]
            known.add(name)
            for old, new in changes.get(name, ()):
                if old.startswith("for "):
                    if rule.get("for") != old.removeprefix("for "):
                        raise ProgramError(f"{name}: no {old!r}")
                    rule["for"] = new
                elif old in rule["expr"]:
                    rule["expr"] = rule["expr"].replace(old, new)
                else:
                    raise ProgramError(f"{name}: no {old!r} in {rule['expr']!r}")
        found[path.name] = yaml.safe_dump(tree)
    if left := set(changes) - known:
        raise ProgramError(f"no such rules: {sorted(left)}")
    return found


class Scraper:
    """The process and the way to ask it; `use` gives it other rules."""

    def __init__(self, folder: Path, metrics_port: int, alertmanager: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.api = Prometheus(f"http://127.0.0.1:{self.port}")
        (folder / "rules").mkdir(parents=True)
        text = (ETC / "prometheus" / "prometheus.yml").read_text()
        text = text.replace("127.0.0.1:9090", f"127.0.0.1:{metrics_port}")
        text = re.sub(r"(scrape_interval|evaluation_interval|scrape_timeout): \w+", rf"\1: {SCRAPE_S}s", text)
        text = text.replace("127.0.0.1:9093", alertmanager or "127.0.0.1:1")
        (folder / "prometheus.yml").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, changes: Changes) -> None:
        """The rules, shortened."""
        for name, text in shortened(changes).items():
            (self.folder / "rules" / name).write_text(text)

    def start(self) -> None:
        """Return when it answers. Raises ProgramError."""
        program = shutil.which("prometheus")
        if program is None:
            raise ProgramError("prometheus (Debian package of that name) is not installed")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--web.enable-lifecycle",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        end = time.monotonic() + READY_S
        while True:
            try:
                self.api.get("status/buildinfo")
            except Wrong as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    said = (self.folder / "log").read_text()[-2_000:]
                    raise ProgramError(f"prometheus does not answer: {error}\n{said}") from error
            else:
                return
            time.sleep(POLL_S)

    def reload(self) -> None:
        """Let it read its rules again. Raises ProgramError when it refuses them."""
        if wrong := reload_prometheus(self.api):
            raise ProgramError("; ".join(wrong))

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        found = self.api.get("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}


@contextmanager
def scraping(
    folder: Path, metrics_port: int, changes: Changes | None = None, alertmanager: str | None = None
) -> Iterator[Scraper]:
    """A Prometheus under way; stopped at the end."""
    made = Scraper(folder, metrics_port, alertmanager)
    made.write(changes or {})
    made.start()
    try:
        yield made
    finally:
        made.stop()
