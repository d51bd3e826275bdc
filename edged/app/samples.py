"""The real DICOM files that the demonstration sends: a choice of those that come with pydicom.

They are read from the folder of the installed package, and nothing is downloaded. Chosen are files that can be scanned,
no two of one SOP Instance UID, a few of each pair of modality and transfer syntax, rare pairs first.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pydicom.data

from edged.upstream.file_form import FileFault, FileForm, read_form

FOLDERS = ("test_files", "charset_files")
MOST_OF_A_KIND = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One file and what it is."""

    path: Path
    size: int
    modality: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def choose_samples(most: int) -> list[Sample]:
    """Return at most `most` files, ordered so that the kinds alternate."""
    kinds: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in _samples():
        kinds[sample.modality, sample.transfer_syntax_uid].append(sample)
    rare_first = sorted(kinds.values(), key=len)
    seen: set[str] = set()
    chosen: list[list[Sample]] = []
    for kind in rare_first:
        new: dict[str, Sample] = {}
        for sample in kind:
            if sample.sop_instance_uid not in seen and len(new) < MOST_OF_A_KIND:
                new.setdefault(sample.sop_instance_uid, sample)
        seen |= new.keys()
        chosen.append(list(new.values()))
    alternating = [sample for row in zip_longest(*chosen) for sample in row if sample is not None]
    return alternating[:most]


def _samples() -> list[Sample]:
    root = Path(pydicom.data.__file__).parent
    found = []
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*.dcm")):
            try:
                found.append(_sample(read_form(path)))
            except FileFault:
                continue  # some of them are broken on purpose
    return found


def _sample(form: FileForm) -> Sample:
    scan = form.scan
    modality = scan.attributes.get("Modality", b"").decode("ascii", "replace").strip(" \0")
    return Sample(form.path, scan.length, modality or "-", scan.sop_instance_uid, scan.transfer_syntax_uid)
