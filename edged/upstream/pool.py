"""The idle HTTP/1.1 connections of one destination.

The newest is used first, so that a pool that was once busy can shrink: the others grow old and are closed at the
next look. How many connections there are is not decided here but by the client's slots.

Invariants: an idle connection is in the list exactly once and in nobody's hands. Every method is synchronous, so a
cancelled task can neither lose a connection nor leave one open.
"""

from edged.upstream.http1 import Http1Connection


class IdleConnections:
    """A stack of connections that wait for their next request."""

    def __init__(self) -> None:
        self._connections: list[Http1Connection] = []

    def __len__(self) -> int:
        return len(self._connections)

    def take_nowait(self) -> Http1Connection | None:
        """Give the newest that can be trusted; the stale ones are closed, wherever in the stack they are."""
        fresh = []
        for connection in self._connections:
            if connection.is_stale():
                connection.close()
            else:
                fresh.append(connection)
        self._connections = fresh
        return fresh.pop() if fresh else None

    def give_back(self, connection: Http1Connection) -> None:
        """Keep a connection that can be used again, close any other."""
        if connection.reusable:
            self._connections.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close them all."""
        while self._connections:
            self._connections.pop().close()
