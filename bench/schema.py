"""Asks the real daemon whatever its OpenAPI document allows, and what it does not: `python -m bench.schema`.

schemathesis makes requests from `/openapi.json` (examples, bounds, values that are right and wrong, chains of them) to a
daemon on the paper exchange, with all its checks: no 5xx but a documented one, every answer as documented. The key is an
operator's: what needs an admin (a backup into a folder of the host) is refused, as documented. Limits of rate are raised,
the venue's too (hundreds of flattens a minute would use up its weight and wait for it),
and the stream takes no client, so that each of its answers ends.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hedgegridd.control.keys import fingerprint, make
from tests.support.programs import Daemon, exchange, running, until, write_config

SYMBOL = "BTCUSDT"
REQUESTS = 10_000
PER_OPERATION = 400  # examples of each operation for so many requests
TIMEOUT_S = 3_600
WORKERS = 8  # commands wait for the venue and for deadlines: side by side they wait less
# A 503 is an answer where it is documented, which "status_code_conformance" checks.
SETTINGS = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
max_response_time = 25

# What they take depends on more than a schema says: a reason that is not blank, a float's seventeenth decimal, the other
# limits. There a 422 is as good an answer as any to what the schema allows.
[[operations]]
include-path-regex = "^/(throttle|set-throttle|limits|kill|rearm|strategy/weights|events/external|orders/test)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, "5xx"]
"""
_CASES = re.compile(r"Test cases:\s*\n?\s*([\d,]+) generated")


class Found(NamedTuple):
    """How many requests were made, whether all checks held, and what schemathesis said."""

    requests: int
    ok: bool
    said: str


@contextmanager
def served(folder: Path) -> Iterator[tuple[Daemon, str]]:
    """A daemon that trades on the paper exchange, and an operator's key."""
    key = make()
    keys = {"name": "schema", "role": "operator", "sha256": fingerprint(key)}
    control = {
        "writes_per_min": 100_000,
        "reads_per_min": 1_000_000,
        "stream_clients": 0,
        "wrong_keys_per_min": 100_000,
    }
    grid = {"instrument": f"{SYMBOL}-PERP", "policy": {"kind": "symmetric"}}
    with (
        exchange(["--regime", "quiet", "--seed", "3", "--no-rate-limits"], folder / "exchange.log") as venue,
        running(
            write_config(folder, venue, [grid], tables={"[[control.keys]]": keys}, control=control)
        ) as bot,
    ):
        until(lambda: bot.control.ask("ready")["ready"], "ready", 60, bot.program)
        yield bot, key


def check(
    bot: Daemon,
    key: str,
    per_operation: int,
    seed: int,
    *,
    phases: str = "examples,coverage,fuzzing,stateful",
    timeout_s: float = TIMEOUT_S,
) -> Found:
    """Run it against a daemon that is ready."""
    base = f"http://127.0.0.1:{bot.config.http_port}"
    settings = bot.config.folder / "schemathesis.toml"
    settings.write_text(SETTINGS)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
        *("run", f"{base}/openapi.json"),
        *("--header", f"X-API-Key: {key}"),
        *("--phases", phases, "--checks", "all", "--mode", "all", "--max-examples", str(per_operation)),
        *("--seed", str(seed), "--generation-database", "none"),
        *("--request-timeout", "30", "--workers", str(WORKERS), "--continue-on-failure", "--no-color"),
    ]
    done = subprocess.run(
        command,
        cwd=bot.config.folder,
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    said = done.stdout + done.stderr
    cases = _CASES.search(said)
    return Found(int(cases[1].replace(",", "")) if cases else 0, done.returncode == 0, said)


def main() -> int:
    """Run it; 1 when a check failed, or too few requests were made."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--per-operation", type=int, default=PER_OPERATION, metavar="N")
    line.add_argument("--requests", type=int, default=REQUESTS, help="fail with fewer (default %(default)s)")
    line.add_argument("--seed", type=int, default=1)
    asked = line.parse_args()
    with tempfile.TemporaryDirectory(prefix="schema-") as folder, served(Path(folder)) as (bot, key):
        found = check(bot, key, asked.per_operation, asked.seed)
        bot.program.check()
    print(found.said)
    print(f"{found.requests} requests, {'all checks held' if found.ok else 'CHECKS FAILED'}")
    return int(not found.ok or found.requests < asked.requests)


if __name__ == "__main__":
    sys.exit(main())
