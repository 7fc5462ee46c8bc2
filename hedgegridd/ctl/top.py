"""`hedgegridctl top`: the live view over the control socket."""

import asyncio
import signal
from typing import Any

from hedgegridd.ctl.client import Client
from hedgegridd.ctl.live import LiveView

CALL_S = 4.0
INTERVAL_MIN_S, INTERVAL_MAX_S = 0.2, 60.0


def top(path: str, interval_s: float) -> int:
    """Show it until Ctrl-C.

    Raises:
        NoDaemon: nobody answers at the start; later that is shown on the screen.
    """
    client = Client(path)
    client.call("status", {}, CALL_S)
    try:
        asyncio.run(_show(client, min(max(interval_s, INTERVAL_MIN_S), INTERVAL_MAX_S)))
    finally:
        client.close()
    return 0


async def _show(client: Client, interval_s: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def poll(verb: str) -> dict[str, Any]:
        reply = await asyncio.to_thread(client.call, verb, {}, CALL_S)
        if not reply.ok:
            raise RuntimeError(str(reply.problem.get("detail", "refused")))
        return reply.result

    await LiveView(poll, interval_s=interval_s).run(stop)
