"""Random requests to the real daemon's socket and HTTP: `python -m bench.fuzz --inputs 100000`.

Four kinds in equal parts: noise and near-valid requests to the socket, noise over HTTP, and valid requests with a wrong
key. Each must get a clear error (or a closed connection); the daemon must not crash, must not grow, and nothing of its
state, of the exchange's books or of its orders may change. It is `tests/e2e/test_requests.py` at length: the inputs and
the judging are its own.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from hedgegridd.control.keys import make
from tests.e2e import test_requests as requests
from tests.support.programs import Daemon

KINDS = 4
ROUND = 2_000  # inputs between two looks at the memory
GROWTH_MB = (
    24.0  # from the end of the first fifth to the end: allocator and caches, no leak of one object a request
)
LEAK_BYTES = 400.0  # an input, by the slope of the second half


def fuzz(bot: Daemon, key: str, inputs: int, seed: int) -> tuple[Counter[int], list[float]]:
    """Send them; how many were answered with which status (0: noise), and the memory in MB after each round."""
    rng = random.Random(seed)
    seen: Counter[int] = Counter()
    memory = []
    while seen.total() < inputs:
        each = min(ROUND, inputs - seen.total()) // KINDS + 1
        seen += requests.to_socket(bot, rng, each)
        seen += requests.over_http(bot, key, rng, each)
        memory.append(requests.memory_mb(bot))
        bot.program.check()
    return seen, memory


def slope_bytes(memory: list[float]) -> float:
    """Bytes an input by which the second half grew: least squares over its rounds."""
    tail = memory[len(memory) // 2 :]
    if len(tail) < 3:
        return 0.0
    mean_x, mean_y = (len(tail) - 1) / 2, sum(tail) / len(tail)
    above = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(tail))
    below = sum((x - mean_x) ** 2 for x in range(len(tail)))
    return above / below * 1e6 / ROUND


def main() -> int:
    """Run it; 1 when anything was not as it must be."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--inputs", type=int, default=100_000)
    line.add_argument("--seed", type=int, default=1)
    asked = line.parse_args()
    key = make()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, ExitStack() as stack:
        venue, bot = stack.enter_context(requests.at_rest(Path(folder), key))
        before = requests.state(venue, bot)
        began = time.monotonic()
        seen, memory = fuzz(bot, key, asked.inputs, asked.seed)
        took_s = time.monotonic() - began
        after = requests.state(venue, bot)
        log = bot.program.log.read_text()
    grown = memory[-1] - memory[len(memory) // 5]
    slope = slope_bytes(memory)
    wrong = [
        *([f"state changed: {before} -> {after}"] if after != before else []),
        *([f"memory grew by {grown:.1f} MB"] if grown >= GROWTH_MB else []),
        *([f"memory grows by {slope:.0f} bytes an input"] if slope >= LEAK_BYTES else []),
        *(
            f"the log has {word!r}"
            for word in ("http_failed", "Traceback", "operation_failed")
            if word in log
        ),
    ]
    print(
        f"seed {asked.seed}: {seen.total()} inputs in {took_s:.0f} s, by status {dict(sorted(seen.items()))} (0: noise); "
        f"memory {memory[0]:.0f} MB, grown {grown:+.1f} MB, {slope:+.0f} bytes an input in the second half"
    )
    print("\n".join(wrong) or "no crash, no leak, no state change")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
