"""nghttp2's clients against a box: by prior knowledge, by Upgrade, and many requests on long connections (RFC 9113)."""

import json
import re
from pathlib import Path

import pytest

from tests.support.clients import run
from tests.support.daemon import daemon
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named

ONE = named(1)
JSON = "accept: application/json"
STATUS = re.compile(r":status: (\d{3})")


async def told(*arguments: str) -> str:
    """What nghttp says of the frames that it sends and gets."""
    return (await run("nghttp", "-v", "-n", *arguments)).decode()


def statuses(conversation: str) -> list[str]:
    return STATUS.findall(conversation)


@pytest.mark.parametrize("upgrade", [(), ("-u",)], ids=["prior knowledge", "upgrade"])
async def test_capabilities_and_state(tmp_path: Path, upgrade: tuple[str, ...]) -> None:
    async with daemon(tmp_path / "box") as box:
        asked = (*upgrade, "-H", ":method: OPTIONS", "-H", JSON, f"{box.url}/")
        conversation = await told(*asked)
        assert statuses(conversation) == ["200"]
        assert ("HTTP Upgrade success" in conversation) is bool(upgrade)
        assert "RST_STREAM" not in conversation
        content = json.loads(await run("nghttp", *asked))
        assert content["edged"]["store"]["instances"]["held"] == 0


async def test_a_store_and_retrieves_side_by_side(tmp_path: Path) -> None:
    upload, data = tmp_path / "upload", made(ONE, size=300_000)
    upload.write_bytes(multipart([data]))
    async with daemon(tmp_path / "box") as box:
        fields = ("-H", f"content-type: {MULTIPART}", "-H", "accept: application/dicom+json")
        report = await run("nghttp", *fields, "-d", str(upload), f"{box.url}/studies")
        assert set(json_report(report).stored) == {ONE.instance}
        wanted = ("-H", "accept: application/dicom", box.url + ONE.path)
        assert await run("nghttp", *wanted) == data
        interleaved = await run("nghttp", "-m", "4", *wanted)
        assert sorted(interleaved) == sorted(data * 4)
        # A window of 2^10 - 1 octets: each piece waits for credit.
        assert await run("nghttp", "-w", "10", *wanted) == data
        missing = await told("-H", JSON, f"{box.url}/nothing")
        assert statuses(missing) == ["404"]
        assert "content-type: application/problem+json" in missing


@pytest.mark.timeout(120)
async def test_no_request_of_a_long_connection_is_lost(tmp_path: Path) -> None:
    async with daemon(tmp_path / "box") as box:
        load = ("h2load", "-n", "5000", "-c", "2", "-m", "32", "-H", "accept: */*")
        summary = (await run(*load, f"{box.url}/healthz")).decode()
        assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in summary
        assert "5000 2xx" in summary
