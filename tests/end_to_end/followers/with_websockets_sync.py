"""Follows with `websockets`' threading client, told what to do line by line: [what, value] comes, the answer goes."""

import json
import sys
from contextlib import ExitStack
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect


def next_of(socket: ClientConnection) -> Any:
    try:
        message = socket.recv()
    except ConnectionClosed:
        return socket.close_code
    return message if isinstance(message, str) else "octets"


def main(stack: ExitStack) -> None:
    socket: ClientConnection | None = None
    for line in sys.stdin:
        what, value = json.loads(line)
        answer: Any = None
        if what == "open":
            socket = stack.enter_context(connect(value, proxy=None))
            answer = ", ".join(each.name for each in socket.protocol.extensions)
        assert socket is not None
        if what == "next":
            answer = next_of(socket)
        elif what == "say":
            socket.send(value)
        elif what == "close":
            socket.close(value)
            answer = socket.close_code
        print(json.dumps(answer), flush=True)


with ExitStack() as opened:
    main(opened)
