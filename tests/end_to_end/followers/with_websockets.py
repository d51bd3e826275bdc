"""Follows with `websockets`' asyncio client, told what to do line by line: [what, value] comes, the answer goes."""

import asyncio
import json
import sys
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


async def next_of(socket: ClientConnection) -> Any:
    try:
        message = await socket.recv()
    except ConnectionClosed:
        return socket.close_code
    return message if isinstance(message, str) else "octets"


async def main() -> None:
    socket: ClientConnection | None = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, value = json.loads(line)
        answer: Any = None
        if what == "open":
            socket = await connect(value, proxy=None)
            answer = ", ".join(each.name for each in socket.protocol.extensions)
        assert socket is not None
        if what == "next":
            answer = await next_of(socket)
        elif what == "say":
            await socket.send(value)
        elif what == "close":
            await socket.close(value)
            answer = socket.close_code
        print(json.dumps(answer), flush=True)


asyncio.run(main())
