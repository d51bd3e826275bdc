"""What turned in the store is asked back from real archives: Debian's Orthanc, and a second edged."""

from pathlib import Path

import pytest

from edged.store.schema import CHUNK_BYTES
from tests.conftest import ExpectedLogs
from tests.support.box_kit import served_box
from tests.support.dicom_samples import shipped
from tests.support.forwarding_kit import destination
from tests.support.orthanc import orthanc
from tests.support.repair_kit import scrubbed
from tests.support.stow_kit import made, named

LOCAL = '[commitment]\nevidence = "local"\n'
LARGE = made(named(1), size=140 * CHUNK_BYTES)
COMPRESSED, PLAIN = "JPEG2000.dcm", "CT_small.dcm"


@pytest.mark.timeout(120)
async def test_orthanc_gives_back_what_it_got(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    files = [shipped(PLAIN), shipped(COMPRESSED), LARGE]
    async with (
        orthanc(tmp_path) as archive,
        scrubbed(tmp_path, destination(archive.url, commitment='["search"]'), expected_logs, inline=False) as box,
    ):
        for number, data in zip(await box.committed(*files), files, strict=True):
            await box.damage(number)
            await box.repaired(number)
            assert await box.stored(number) == data
        assert box.hint == ""


@pytest.mark.parametrize("http", ["1.1", "2"])
async def test_a_second_box_gives_back_what_it_got(tmp_path: Path, expected_logs: ExpectedLogs, http: str) -> None:
    async with served_box(tmp_path / "archive", LOCAL) as archive:
        url = archive.urls[0].replace("127.0.0.1", "localhost")
        config = destination(url, commitment='["dicomweb"]', http=f'"{http}"')
        async with scrubbed(tmp_path, config, expected_logs, inline=False) as box:
            for number in await box.committed(LARGE):
                await box.damage(number, 0, 139)
                await box.repaired(number)
                assert await box.stored(number) == LARGE
