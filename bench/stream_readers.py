"""Clients of the stream for `bench.streams`: so many that read and so many that never do, until they are ended.

`python -m bench.stream_readers PORT KEY READERS SLEEPERS FILE`: prints "ready" when every reader has its first event, and
writes at the end what each reader has got.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path

import msgspec

SMALL = 4_096  # receive buffer of who does not read


class Got(msgspec.Struct):
    """What a reader has read: events, beats, and how many events it was told to have missed."""

    events: int = 0
    beats: int = 0
    missed: int = 0


def request(key: str) -> bytes:
    return f"GET /stream HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode()


async def read(port: int, key: str, got: Got) -> None:
    """Read until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(key))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    while line := await reader.readline():
        if line.startswith(b"id: "):
            got.events += 1
        elif line.startswith(b"event: beat"):
            got.beats += 1
        elif line.startswith(b'data: {"missed":'):
            got.missed += int(line.split(b":")[2].split(b",")[0])


async def main(port: int, key: str, readers: int, sleepers: int) -> list[Got]:
    """Open them all and stay until ended; what each reader has got."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    all_of_them = [Got() for _ in range(readers)]
    held = []
    for _ in range(sleepers):
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        made.connect(("127.0.0.1", port))
        made.sendall(request(key))
        held.append(made)
    tasks = [asyncio.create_task(read(port, key, got)) for got in all_of_them]
    while not all(got.events or got.beats for got in all_of_them):
        failed = [task.exception() for task in tasks if task.done()]
        if failed:
            raise SystemExit(f"a reader has ended: {failed[0]}")
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    await ended.wait()
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    for each in held:
        each.close()
    return all_of_them


if __name__ == "__main__":
    port, key, readers, sleepers, file = sys.argv[1:]
    found = asyncio.run(main(int(port), key, int(readers), int(sleepers)))
    Path(file).write_bytes(msgspec.json.encode(found))
