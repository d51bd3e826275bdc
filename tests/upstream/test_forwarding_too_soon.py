"""An archive that says "stored" before it can have stored anything (DESIGN 1.3)."""

from pathlib import Path

from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import report
from tests.support.stow_kit import named
from tests.support.upstream_peer import Wire, listen

UID = named(1).instance


async def test_stored_before_the_last_byte_has_left_counts_for_nothing(tmp_path: Path) -> None:
    answered: list[str] = []

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.exactly(1000)
        await wire.answer(200, report([UID]).body, extra=b"Content-Type: application/dicom+json\r\n")
        answered.append(UID)
        await wire.closed()

    async with (
        listen(script) as peer,
        forwarding(tmp_path, destination(f"http://127.0.0.1:{peer.port}/dicom-web", commitment='["stored"]')) as box,
    ):
        await box.take_made(named(1), size=30_000_000)
        await box.until(lambda: len(answered) == 2, step_s=60)
        assert box.at() == {"held": 1}
