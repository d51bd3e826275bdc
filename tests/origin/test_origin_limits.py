"""What the table of limits says of a store request and of an instance is what happens, at the edge and beyond it."""

import pytest
from pydicom import Dataset

from edged.app.limits import limits_of
from edged.config import parse
from edged.dicom import uids
from tests.support.box_kit import Box
from tests.support.dicom_samples import file_of, read, scan, written
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named

LIMITS = {each.name: int(each.value) for each in limits_of(parse("", {}))}
DEEPEST = LIMITS["instance_depth"]
ONE, TWO = named(1), named(2)
STOW = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
IMAGES = {"Accept": "application/dicom; transfer-syntax=*"}
PATH = "/studies/1.2.3/series/1.2.3.1/instances/1.2.3.4"


def nested(depth: int, transfer_syntax_uid: str) -> bytes:
    """An instance of so many sequences, each in an item of the one before; the innermost item has a value."""
    inner = Dataset()
    inner.TextValue = "innermost"
    for _ in range(depth - 1):
        inner, item = Dataset(), inner
        inner.ContentSequence = [item]
    whole = read(file_of())
    whole.ContentSequence = [inner]
    return written(whole, transfer_syntax_uid)


@pytest.mark.parametrize(
    "transfer_syntax_uid",
    [
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ],
)
async def test_as_deep_as_may_be(box: Box, transfer_syntax_uid: str) -> None:
    assert (await box.stow(nested(DEEPEST, transfer_syntax_uid))).status == 200
    answer = await box.ask("GET", PATH, IMAGES)
    innermost = read(answer.body)
    for _ in range(DEEPEST):
        [innermost] = innermost.ContentSequence
    assert innermost.TextValue == "innermost"


@pytest.mark.parametrize("depth", [DEEPEST + 1, 65])
async def test_what_is_deeper_and_leaves_as_it_came_is_taken(box: Box, depth: int) -> None:
    data = nested(depth, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert (await box.stow(data)).status == 200
    assert (await box.ask("GET", PATH, IMAGES)).body == data


@pytest.mark.parametrize(
    "transfer_syntax_uid",
    [uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN, uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN],
)
async def test_what_is_deeper_and_must_be_understood_is_refused(box: Box, transfer_syntax_uid: str) -> None:
    answer = await box.stow(nested(DEEPEST + 1, transfer_syntax_uid))
    assert answer.status == 409
    assert json_report(answer.body).failed == {"1.2.3.4": 0xC000}


@pytest.mark.parametrize(("depth", "failed"), [(DEEPEST, {}), (DEEPEST + 1, {"1.2.3.4": 0xC000})])
async def test_without_a_file_head_as_well(box: Box, depth: int, failed: dict[str, int]) -> None:
    data = nested(depth, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    answer = await box.stow(data[scan(data).dataset_offset :])
    assert json_report(answer.body).failed == failed


def part_with(fields: int, head_bytes: int) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """A part with so many header fields, whose lines, each with its end, have so many bytes."""
    named_fields = [("Content-Type", "application/dicom"), *((f"X-{number}", "") for number in range(fields - 1))]
    lines = sum(len(f"{name}: {value}\r\n") for name, value in named_fields)
    name, value = named_fields.pop()
    return (*named_fields, (name, value + "x" * (head_bytes - lines))), made(TWO)


MOST_FIELDS = part_with(LIMITS["part_fields"], 2000)
LONGEST_HEAD = part_with(2, LIMITS["part_head_bytes"] - 2)  # with the empty line
TOO_MUCH = [part_with(LIMITS["part_fields"] + 1, 2000), part_with(2, LIMITS["part_head_bytes"] - 1)]


async def test_the_largest_head_of_a_part(box: Box) -> None:
    for part in (MOST_FIELDS, LONGEST_HEAD):
        assert (await box.ask("POST", "/studies", STOW, multipart([part]))).status == 200


@pytest.mark.parametrize("part", TOO_MUCH)
async def test_a_head_beyond_the_limits(box: Box, part: tuple[tuple[tuple[str, str], ...], bytes]) -> None:
    assert (await box.ask("POST", "/studies", STOW, multipart([part]))).status == 400
    answer = await box.ask("POST", "/studies", STOW, multipart([made(ONE), part, made(named(3))]))
    report = json_report(answer.body)
    assert (answer.status, list(report.stored), report.other) == (202, [ONE.instance], [0xC000])
