"""How many bookTicker messages a second the paper exchange carries on one socket, and how old they arrive.

    python -m bench.exchange --rate 15000 --seconds 5

Starts `hedgegridd exchange --tick-rate RATE` as a process, reads one socket, and prints messages a second, their age
(p50 and p99, wall clock against the message's own time), the CPU the exchange used, and how often it fell behind.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec
import uvloop

from tests.support.programs import Exchange, exchange

AGE_EVERY = 50


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def listen(url: str, seconds: float) -> tuple[int, list[float]]:
    """Messages read, and the age in ms of every fiftieth."""
    count, ages = 0, []
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            message = await socket.receive()
            count += 1
            if count % AGE_EVERY == 0:
                sent_ms = msgspec.json.decode(message.data)["data"]["E"]
                ages.append(time.time() * 1000 - sent_ms)
    return count, sorted(ages)


def measure(venue: Exchange, seconds: float) -> str:
    """One line of figures."""
    before = cpu_s(venue.program.process.pid)
    start = time.perf_counter()
    url = f"{venue.websocket}/stream?streams=btcusdt@bookTicker"
    count, ages = uvloop.run(listen(url, seconds))
    took = time.perf_counter() - start
    used = (cpu_s(venue.program.process.pid) - before) / took
    p50, p99 = ages[len(ages) // 2], ages[int(len(ages) * 0.99)]
    return f"{count / took:,.0f} messages/s  age p50 {p50:.1f} ms p99 {p99:.1f} ms  exchange {used:.2f} of a core"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--rate", type=int, default=15_000)
    line.add_argument("--seconds", type=float, default=5.0)
    args = line.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "exchange.log"
        with exchange(["--tick-rate", str(args.rate)], log) as venue:
            print(measure(venue, args.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
