"""From an event to a channel's acceptance, at real HTTP servers on loopback: `python -m bench.alerts`.

The alerts actor runs on the daemon's own bus; the servers in threads of this process. Healthy channels; a CRITICAL while
every other channel hangs, answers 429, resets or fails; ten thousand alerts at once; then flattens of a real daemon without
channels and with one that hangs.
"""

import argparse
import asyncio
import time
import tracemalloc
from contextlib import ExitStack
from decimal import Decimal

from bench import rig
from bench.flatten import DEADLINE_S, LEVELS, PER_RUN, STEP_BPS, flatten_ms, prepare
from bench.table import Row, p, text, verdict
from hedgegridd.config import AlertChannel
from hedgegridd.messages import Event
from tests.support.alert_receiver import Receiver, receiver
from tests.support.alert_rig import grave, mild
from tests.support.alert_rig import rig as alert_rig

HEALTHY_S, CRITICAL_S = 1.0, 5.0
EVENTS, SLOW_EVENTS = 300, 12  # of channels without a limit, and of those that take one a second
APART_S, SLOW_APART_S = 0.02, 1.1
BURST, CRITICALS = 10_000, 50
QUEUE = 256
FLATTEN_SHARE = 1.25  # of the median without channels: what a hanging one may cost at most, noise included
CHANNELS = ("webhook", "alertmanager", "slack", "telegram", "second")


def channels(servers: dict[str, Receiver]) -> tuple[list[AlertChannel], dict[str, str]]:
    """One of each kind, at these servers by kind."""
    tables = {
        "webhook": AlertChannel(type="webhook", url=servers["webhook"].url),
        "alertmanager": AlertChannel(type="alertmanager", url=servers["alertmanager"].url),
        "slack": AlertChannel(type="slack", credential="slack"),
        "telegram": AlertChannel(
            type="telegram", credential="telegram", chat_id="1", url=servers["telegram"].url
        ),
        "second": AlertChannel(type="webhook", name="second", url=servers["second"].url),
    }
    servers["telegram"].answers["/bott/getUpdates"] = [{"ok": True, "result": []}]
    return list(tables.values()), {"slack": servers["slack"].url, "telegram": "t"}


def row(what: str, times: list[float], limit_s: float) -> Row:
    p99 = p(times, 0.99)
    return Row(
        bench="alerts",
        what=f"{what} ({len(times)} alerts)",
        measured=f"p50 {p(times, 0.5) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, max {max(times) * 1e3:.1f} ms",
        target=f"p99 {limit_s:g} s",
        verdict=verdict(p99 <= limit_s),
    )


async def healthy() -> list[Row]:
    """Every channel accepts: alerts as they come, at a pace that the slow ones take."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(receiver()) for name in CHANNELS}
        tables, secrets = channels(servers)
        fast = [table for table in tables if table.type in ("webhook", "alertmanager")]
        async with alert_rig(fast, secrets=secrets) as it:
            for number in range(EVENTS):
                it.publish(mild(number))
                await asyncio.sleep(APART_S)
            for name in it.seconds:
                await it.accepted(name, EVENTS)
            rows = [row(f"healthy: event -> {name}", times, HEALTHY_S) for name, times in it.seconds.items()]
        slow = [table for table in tables if table.type in ("slack", "telegram")]
        async with alert_rig(slow, secrets=secrets) as it:
            for number in range(SLOW_EVENTS):
                it.publish(mild(number))
                await asyncio.sleep(SLOW_APART_S)
            for name in it.seconds:
                await it.accepted(name, SLOW_EVENTS)
            rows += [row(f"healthy: event -> {name}", times, HEALTHY_S) for name, times in it.seconds.items()]
    return rows


async def others_down() -> list[Row]:
    """CRITICALs to one channel while the four others hang, ask for a pause, reset and fail."""
    modes = {
        "webhook": "accept",
        "alertmanager": "hang",
        "slack": "429",
        "telegram": "reset",
        "second": "500",
    }
    with ExitStack() as stack:
        servers = {name: stack.enter_context(receiver(mode)) for name, mode in modes.items()}
        servers["slack"].retry_after = "3600"
        tables, secrets = channels(servers)
        async with alert_rig(tables, secrets=secrets) as it:
            for number in range(EVENTS):
                it.publish(mild(number))
                it.publish(grave(number))
                await asyncio.sleep(APART_S)
            await it.accepted("webhook", 2 * EVENTS)
            return [
                row(
                    "the four others hang, 429, reset, 500: event -> webhook",
                    it.seconds["webhook"],
                    CRITICAL_S,
                )
            ]


async def overtaking() -> list[Row]:
    """A CRITICAL to Slack while its queue is full of others."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(receiver()) for name in CHANNELS}
        tables, secrets = channels(servers)
        async with alert_rig([table for table in tables if table.type == "slack"], secrets=secrets) as it:
            times: list[float] = []
            for number in range(5):
                for other in range(QUEUE):
                    it.publish(mild(number * QUEUE + other))
                it.publish(grave(number))
                began = time.monotonic()
                await asyncio.to_thread(servers["slack"].until_told, f"LIQUIDATION X{number}USDT")
                times.append(time.monotonic() - began)
            return [row("Slack takes 1/s and its queue is full: CRITICAL -> Slack", times, CRITICAL_S)]


async def burst() -> list[Row]:
    """Ten thousand at once: every CRITICAL arrives by itself, the rest is in some message's count, memory stays."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(receiver()) for name in CHANNELS}
        servers["alertmanager"].mode = "hang"
        tables, secrets = channels(servers)
        async with alert_rig(
            [table for table in tables if table.label in ("webhook", "alertmanager")], secrets=secrets
        ) as it:
            every = BURST // CRITICALS
            events: list[Event] = [grave(n) if n % every == 0 else mild(n) for n in range(BURST)]
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            began = time.perf_counter()
            for event in events:
                it.publish(event)
            await it.accepted("webhook", CRITICALS, 120.0)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            sender = next(each for each in it.actor.senders if each.name == "webhook")
            async with asyncio.timeout(120):
                await sender.drained()
            took = time.perf_counter() - began
            told = [got.body for got in servers["webhook"].got if got.body["kind"] != "channel"]
            graves = {body["key"] for body in told if body["severity"] == "CRITICAL"}
            counted = len(told) + it.counts["webhook", "folded"]
            waiting = next(each for each in it.actor.senders if each.name == "alertmanager").view().waiting
    whole = len(graves) == CRITICALS and counted == BURST and waiting <= QUEUE + CRITICALS + 1
    return [
        Row(
            bench="alerts",
            what=f"{BURST:,} at once, {CRITICALS} of them CRITICAL, one of two channels hangs",
            measured=f"{len(graves)} CRITICALs told, {len(told)} messages, {counted - len(told)} folded; "
            f"{waiting} wait at the one that hangs; {took:.1f} s, at most {(peak - before) / 1e6:.0f} MB more",
            target="every CRITICAL told, every other counted",
            verdict=verdict(whole),
        )
    ]


def flattens(runs: int) -> list[Row]:
    """Flattens of a real daemon: no channel, then one that hangs."""
    found: dict[str, list[float]] = {}
    for name in ("no channel", "a channel that hangs"):
        with receiver("hang") as server, rig.market() as market:
            tables = {"[[alert]]": {"type": "webhook", "url": server.url, "timeout_s": 30}}
            with rig.bot(market, LEVELS, STEP_BPS, tables=tables if "hangs" in name else None) as bot:
                times = []
                for turn in range(runs * PER_RUN):
                    prepare(bot, turn)
                    times.append(flatten_ms(bot))
                assert ("hangs" in name) == bool(server.asked), "the alerts were on their way meanwhile"
        found[name] = times
    without, hanging = (p(times, 0.5) for times in found.values())
    return [
        Row(
            bench="alerts",
            what=f"flatten asked -> verified, {name} ({len(times)} flattens)",
            measured=f"p50 {p(times, 0.5):.0f} ms, p99 {p(times, 0.99):.0f} ms",
            peer="" if name == "no channel" else f"p50 {without:.0f} ms without",
            ratio=None if name == "no channel" else without / hanging,
            target=f"verified within {Decimal(DEADLINE_S):g} s"
            if name == "no channel"
            else f"p50 within {FLATTEN_SHARE:g} x",
            verdict=verdict(name == "no channel" or hanging <= FLATTEN_SHARE * without),
        )
        for name, times in found.items()
    ]


def measure(runs: int) -> list[Row]:
    """All rows."""
    rows = []
    for part in (healthy, others_down, overtaking, burst):
        rows += asyncio.run(part())
    return rows + flattens(runs)


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=3)
    line.add_argument("--no-flatten", action="store_true", help="leave the real daemon out")
    asked = line.parse_args()
    if not asked.no_flatten:
        print(text(measure(asked.runs)))
        return
    for part in (healthy, others_down, overtaking, burst):
        print(text(asyncio.run(part())), flush=True)


if __name__ == "__main__":
    main()
