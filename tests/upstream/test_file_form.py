"""Files on their way into a request: what is found, what is read, how it is put into batches."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edged.dicom.reasons import FailureReason
from edged.upstream.file_form import PIECE_BYTES, Batcher, FileFault, FileForm, halves, read_form
from edged.upstream.file_walk import walk
from tests.support.dicom_samples import converted, file_of, plain, scan, shipped

_SCAN = scan(file_of())


def form(number: int, length: int = 1, uid: str = "") -> FileForm:
    """A form that nothing is read of."""
    found = replace(_SCAN, sop_instance_uid=uid or f"1.2.{number}", length=length, exit_length=length)
    return FileForm(Path(str(number)), found)


async def sent(path: Path) -> bytes:
    """What would be sent of a file."""
    return b"".join([bytes(piece) async for piece in read_form(path).pieces()])


@pytest.mark.parametrize("name", ["CT_small.dcm", "image_dfl.dcm", "rtplan.dcm", "ExplVR_BigEnd.dcm"])
async def test_what_is_sent_is_the_file_or_its_explicit_form(name: str, tmp_path: Path) -> None:
    data = shipped(name)
    path = tmp_path / name
    path.write_bytes(data)
    given_bytes = await sent(path)
    assert given_bytes == (data if scan(data).leaves_as_is else converted(data))
    assert read_form(path).length == len(given_bytes)


async def test_a_large_file_comes_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(data := file_of(plain(0x00420011, b"OB", bytes(3 * PIECE_BYTES))))
    pieces = [bytes(piece) async for piece in read_form(path).pieces()]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE_BYTES


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm"])
@pytest.mark.parametrize("change", [b"", b"longer"])
async def test_a_file_that_changed_is_found_out(name: str, change: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data := shipped(name))
    looked_at = read_form(path)
    path.write_bytes(data + change if change else data[:-20])
    with pytest.raises(FileFault, match="changed"):
        [piece async for piece in looked_at.pieces()]
    path.unlink()
    with pytest.raises(FileFault, match="No such file"):
        [piece async for piece in looked_at.pieces()]


def test_what_cannot_be_sent_says_why(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"hello")
    with pytest.raises(FileFault, match="does not begin like") as caught:
        read_form(path)
    assert caught.value.reason is FailureReason.NOT_A_DICOM_FILE
    with pytest.raises(FileFault, match="No such file"):
        read_form(tmp_path / "none")


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "b/DICOMDIR", "b/c/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"xx")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    found = list(walk([tmp_path, tmp_path / "a", tmp_path / "b" / "DICOMDIR", tmp_path / "pipe"]))
    names = [str(each.path.relative_to(tmp_path)) for each in found]
    assert names == ["a", "broken", "b/1", "b/2", "b/c/3", "a", "b/DICOMDIR", "pipe"]
    assert [each.named for each in found] == [False] * 5 + [True] * 3
    assert [bool(each.fault) for each in found] == [False, True, False, False, False, False, False, True]
    assert found[0].size == 2


@given(
    st.lists(st.tuples(st.integers(1, 100), st.sampled_from(["", "", "1.9", "1.8"])), max_size=40),
    st.integers(1, 8),
    st.integers(1, 250),
)
def test_batches(files: list[tuple[int, str]], max_files: int, max_bytes: int) -> None:
    forms = [form(number, length, uid) for number, (length, uid) in enumerate(files)]
    batcher = Batcher(max_files=max_files, max_bytes=max_bytes)
    batches = [ended for each in forms if (ended := batcher.add(each))]
    batches += [rest] if (rest := batcher.take()) else []
    assert [each for batch in batches for each in batch] == forms
    assert batcher.take() == ()
    for batch in batches:
        assert len(batch) <= max_files
        assert len({each.sop_instance_uid for each in batch}) == len(batch)
        assert len(batch) == 1 or sum(each.length for each in batch) <= max_bytes


@given(st.integers(0, 20))
def test_halves(count: int) -> None:
    forms = [form(number) for number in range(count)]
    found = halves(forms)
    assert [each for half in found for each in half] == forms
    assert all(found)
    assert len(found) == min(count, 2)
