"""What is asked again at once: as often as the verdict table says, on the connection that it says, and no oftener."""

from pathlib import Path

from h2.errors import ErrorCodes
from h2.events import RequestReceived

from edged.telemetry.live import DestinationState
from edged.upstream.verdict_values import REPEATS
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Asked, Reply, committed, scripted_archive
from tests.support.stow_kit import named
from tests.support.upstream_peer import Http2Wire, Wire, listen


async def quiet(box: Forwarding) -> None:
    """Let the box do what it does at this moment of its clock."""
    for _ in range(20):
        await box.pass_time(0)


async def test_a_peer_that_takes_nothing_is_met_by_the_back_off(tmp_path: Path) -> None:
    """GOAWAY before the first stream, on every connection: provably not processed, again and again."""
    connections = []

    async def script(plain: Wire) -> None:
        connections.append(plain.number)
        wire = Http2Wire(plain)
        await wire.hello()
        await wire.until(RequestReceived)
        wire.protocol.close_connection(error_code=ErrorCodes.NO_ERROR, last_stream_id=0)
        await wire.flush()
        await plain.closed()

    async with listen(script) as peer:
        archive = destination(f"http://127.0.0.1:{peer.port}/dicom-web", http='"2"', parallel="1")
        async with forwarding(tmp_path, archive) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.stands().state is DestinationState.RETRYING)
            await quiet(box)
            assert len(connections) == 1 + REPEATS
            assert box.at() == {"held": 1}


async def test_421_is_answered_on_another_connection_and_not_for_ever(tmp_path: Path) -> None:
    asked = []

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            asked.append(wire.number)
            await wire.answer(421)

    async with listen(script) as peer:
        archive = destination(f"http://127.0.0.1:{peer.port}/dicom-web", parallel="1")
        async with forwarding(tmp_path, archive) as box:
            await box.take_made(named(1))
            await box.until(lambda: len(asked) == 1 + REPEATS)
            await quiet(box)
            assert asked == [1, 2, 3, 4]
            assert box.at() == {"held": 1}


async def test_a_rotated_token_is_found_by_a_commitment_request_too(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    async with scripted_archive() as (archive, _):

        def strict(asked: Asked) -> Reply:
            if asked.all("authorization") == ["Bearer new"]:
                return committed(asked.listed)
            token.write_text("new\n")
            return Reply(401)

        archive.on_commitment = strict
        auth = f'{{kind = "bearer", token_file = "{token}"}}'
        async with forwarding(tmp_path, destination(archive.url, auth=auth)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1})
            assert [asked.method for asked in archive.commitments] == ["POST", "POST"]
            assert box.condition_names() == set()
