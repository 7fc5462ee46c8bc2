"""A loop with nothing to do but to measure its own lag: the machine's noise, beside whatever else is measured.

    python -m bench.idle

Prints the address of its `/metrics`, which has the loop's lag under the daemon's name.
"""

import asyncio

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from hedgegridd.actors.metrics import LATENCY_S
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.lag import LagProbe


async def run() -> None:
    registry = CollectorRegistry()
    lag = Histogram("hedgegrid_loop_lag_seconds", "Event-loop lag.", buckets=LATENCY_S, registry=registry)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"metrics http://{host}:{port}/metrics", flush=True)
    await LagProbe(RealClock(), lag.observe).run()


if __name__ == "__main__":
    uvloop.run(run())
