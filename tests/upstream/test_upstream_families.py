"""A name with addresses of both families, one of them dead: the other is dialled without waiting for it."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
import trio

from edged.upstream.connection import ClientSettings, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from tests.support.upstream_body import GET
from tests.support.upstream_peer import Wire

PATIENT = ClientSettings(timeouts=Timeouts(connect_s=20))
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
FAMILIES = list(LOOPBACK)


class Both(trio.abc.HostnameResolver):
    """Gives both addresses, one family first."""

    def __init__(self, first: socket.AddressFamily) -> None:
        self._families = sorted(FAMILIES, key=lambda family: family is not first)

    async def getaddrinfo(self, host: object, port: object, *_: object, **__: object) -> list[object]:  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        return [(each, socket.SOCK_STREAM, 6, "", _address(each, port)) for each in self._families]

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


def _address(family: socket.AddressFamily, port: object) -> tuple[object, ...]:
    return (LOOPBACK[family], port) if family is socket.AF_INET else (LOOPBACK[family], port, 0, 0)


@contextlib.contextmanager
def black_hole(family: socket.AddressFamily, port: int) -> Iterator[None]:
    """Take no connection and refuse none: the queue of the listening socket is full."""
    with socket.socket(family) as full, contextlib.ExitStack() as stack:
        full.bind(_address(family, port))
        full.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield


async def answering(stream: trio.SocketStream) -> None:
    wire = Wire(stream, stream, 1)
    async with stream:
        await wire.request()
        await wire.answer(body=b"here")


@contextlib.contextmanager
def listening(family: socket.AddressFamily, nursery: trio.Nursery) -> Iterator[int]:
    """Answer on the loopback address of one family; gives the port."""
    with trio.socket.socket(family) as listener:
        listener._sock.bind(_address(family, 0))  # type: ignore[attr-defined]
        listener.listen(5)
        nursery.start_soon(trio.serve_listeners, answering, [trio.SocketListener(listener)])
        yield listener.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("first", FAMILIES, ids=["IPv4 first", "IPv6 first"])
@pytest.mark.parametrize("dead", FAMILIES, ids=["IPv4 dead", "IPv6 dead"])
@pytest.mark.parametrize("swallows", [False, True], ids=["refuses", "swallows"])
async def test_the_family_that_lives_is_reached(
    first: socket.AddressFamily, dead: socket.AddressFamily, swallows: bool
) -> None:
    trio.socket.set_custom_hostname_resolver(Both(first))
    [alive] = set(FAMILIES) - {dead}
    async with trio.open_nursery() as nursery:
        with listening(alive, nursery) as port, contextlib.ExitStack() as stack:
            if swallows:
                stack.enter_context(black_hole(dead, port))
            with trio.fail_after(PATIENT.timeouts.connect_s / 4):  # far less than waiting for the dead one
                async with open_client(Endpoint("http", "archive.example", port), PATIENT) as client:
                    assert (await client.request(GET)).body == b"here"


async def test_both_families_dead() -> None:
    trio.socket.set_custom_hostname_resolver(Both(socket.AF_INET6))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with open_client(Endpoint("http", "archive.example", port), PATIENT) as client:
        with pytest.raises(NoAnswer) as caught:
            await client.request(GET)
    assert caught.value.text == f"cannot connect to archive.example:{port}: connection refused"
