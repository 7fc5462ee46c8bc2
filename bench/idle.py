"""A loop with nothing to do but to echo: what asking costs on this machine, beside whatever else is measured.

    python -m bench.idle SOCKET

Echoes on the unix socket; prints its path when it listens.
"""

import asyncio
import sys

import uvloop


async def echo_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the other side ends."""
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


async def run(path: str) -> None:
    server = await asyncio.start_unix_server(echo_back, path)
    print(path, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1]))
