"""Sends back what it receives; closes with the code that it is asked to close with."""

import asyncio

import websockets


async def echo(socket, path="/"):
    async for message in socket:
        if isinstance(message, str) and message.startswith("close "):
            await socket.close(int(message.split()[1]), "as you wish")
            return
        await socket.send(message)


async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        print(f"{host}:{port}", flush=True)
        await asyncio.Future()


asyncio.run(main())
