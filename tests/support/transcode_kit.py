"""Compressed instances, archives that take none, and the process that decompresses, run by itself."""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

import numpy as np
import pydicom
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from tests.support.scripted_archive import Reply, ScriptedArchive, StoreRule, Stow, report

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
COLOUR, BROKEN, WAVELETS = "SC_rgb_rle_2frame.dcm", "JPGExtended.dcm", "MR_small_jp2klossless.dcm"
PLAIN = "1.2.840.10008.1.2.1"


def plain_only(archive: ScriptedArchive, refusal: int | None = None) -> StoreRule:
    """A rule that takes what is not compressed; the rest is C122H, or the whole request is refused by a status."""

    def rule(stow: Stow) -> Reply:
        bad = [str(each.SOPInstanceUID) for each in stow.data_sets if each.file_meta.TransferSyntaxUID != PLAIN]
        if bad and refusal is not None:
            return Reply(refusal)
        good = [uid for uid in stow.uids if uid not in bad]
        archive.keep(stow, good)
        return report(good, dict.fromkeys(bad, 0xC122))

    return rule


def uid_of(name: str) -> str:
    """The SOP Instance UID of a file."""
    return str(dcmread(FILES / name, stop_before_pixels=True).SOPInstanceUID)


def another(name: str, last: int) -> bytes:
    """A file under another SOP Instance UID."""
    data_set = dcmread(FILES / name)
    data_set.SOPInstanceUID = f"{data_set.SOPInstanceUID[:50]}.{last}"
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    return _written(data_set)


def in_sixteen_bits() -> bytes:
    """An instance with 8 bits stored in 16 allocated, compressed: decompressed it has 8 allocated."""
    data_set = _computed()
    pixels = (data_set.pixel_array.astype(np.int32) % 256).astype(np.uint16)
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit, data_set.PixelRepresentation = 16, 8, 7, 0
    return _compressed(data_set, pixels.tobytes())


def large(side: int = 4000) -> bytes:
    """An instance of a few KB that takes 32 MB decompressed, and several times as much on the way."""
    data_set = _computed()
    data_set.Rows = data_set.Columns = side
    return _compressed(data_set, bytes(2 * side * side))


def _computed() -> pydicom.FileDataset:
    data_set = dcmread(FILES / "CT_small.dcm")
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
        if keyword in data_set:
            delattr(data_set, keyword)
    return data_set


def _compressed(data_set: pydicom.FileDataset, pixels: bytes) -> bytes:
    data_set.PixelData = pixels
    data_set["PixelData"].VR = "OW"
    data_set.compress(JPEG2000Lossless, generate_instance_uid=False)
    return _written(data_set)


def _written(data_set: pydicom.FileDataset) -> bytes:
    out = io.BytesIO()
    data_set.save_as(out, enforce_file_format=True)
    return out.getvalue()


def shadowed(folder: Path, content: str, names: Sequence[str] = ("gdcm", "openjpeg", "pylibjpeg", "PIL")) -> str:
    """Make plug-ins that are found before the real ones; the PYTHONPATH for them."""
    for name in names:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(content)
    return str(folder)


def worker(
    source: IO[bytes],
    out: IO[bytes],
    *,
    memory_bytes: int = 512 << 20,
    processor_s: int = 60,
    before: Sequence[str] = (),
) -> Popen[bytes]:
    """Start the process that decompresses; `before` stands before its command."""
    descriptors = (source.fileno(), out.fileno())
    words = [*before, sys.executable, "-P", "-W", "ignore", "-m", "edged.services.transcode_worker"]
    words += [str(each) for each in (*descriptors, memory_bytes, processor_s)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return Popen(words, stdin=PIPE, stdout=PIPE, pass_fds=descriptors, env=environment)


def children() -> list[int]:
    """Workers of this process that run, whichever of its threads began them."""
    listed = " ".join(each.read_text() for each in Path("/proc/self/task").glob("*/children")).split()
    return [int(each) for each in listed if _is_worker(each)]


def _is_worker(process: str) -> bool:
    try:
        return "transcode_worker" in Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return False
