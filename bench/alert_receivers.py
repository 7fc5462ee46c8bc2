"""A real Alertmanager with our routes, and the HTTP server that its receivers point to."""

import json
import shutil
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.observability import ETC
from tests.support.programs import free_port, until

RECEIVERS = {"critical": "pager", "warning": "chat", "info": "record"}
READY_S = 60.0


class Received:
    """What came, by receiver; `address` is Alertmanager's."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._came: set[tuple[str, str, str]] = set()  # alert, receiver, status

    def take(self, body: bytes) -> None:
        """One message of a receiver, as Alertmanager's webhooks or Slack's have it."""
        told = json.loads(body)
        for each in told.get("alerts", ()):
            self._came.add((each["labels"]["alertname"], told["receiver"], each["status"]))

    def has(self, alert: str, severity: str, status: str) -> bool:
        """Whether the receiver of that severity was told of it."""
        return (alert, RECEIVERS[severity], status) in self._came


@contextmanager
def alertmanager(folder: Path) -> Iterator[Received | None]:
    """Alertmanager under way with every receiver of ours as a webhook here; None where it is not installed."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        yield None
        return
    folder.mkdir(parents=True)
    port = free_port()
    received = Received(f"127.0.0.1:{port}")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not wanted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = (ETC / "alertmanager" / "alertmanager.yml").read_text()
    routes = text[: text.index("receivers:\n  - name")]
    names = sorted(set(RECEIVERS.values()))
    hooks = "".join(
        f"  - name: {name}\n    webhook_configs:\n      - url: http://127.0.0.1:{server.server_port}/{name}\n"
        for name in names
    )
    (folder / "alertmanager.yml").write_text(f"{routes}receivers:\n{hooks}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/data",
                f"--web.listen-address={received.address}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        until(lambda: _answers(received.address), "Alertmanager answers", READY_S)
        yield received
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
            process.wait(10)
        server.shutdown()
        server.server_close()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
