"""Messages of every size at which the framing changes, and both ways to end."""

import asyncio
import os
import sys

import websockets

ADDRESS = sys.argv[1]
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1_000_000]


def connect():
    options = {"max_size": None, "open_timeout": 30, "close_timeout": 30, "compression": None}
    if ADDRESS.startswith("unix:"):
        return websockets.unix_connect(ADDRESS[len("unix:"):], "ws://name.test/chat", **options)
    return websockets.connect(f"ws://{ADDRESS}/chat", **options)


async def talk():
    async with connect() as socket:
        for size in SIZES:
            message = os.urandom(size)
            await socket.send(message)
            assert await socket.recv() == message, size
            await socket.send("ä" * size)
            assert await socket.recv() == "ä" * size, size
        await asyncio.wait_for(await socket.ping(), 30)


async def be_closed():
    async with connect() as socket:
        await socket.send("close 4001")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd.code == 4001, closed
            return
        raise AssertionError("not closed")


async def main():
    await asyncio.wait_for(asyncio.gather(*(talk() for _ in range(10)), be_closed()), 100)


asyncio.run(main())
