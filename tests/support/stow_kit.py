"""What Store requests are made of, and how their answers are read: instances, multipart bodies, reports.

The reader of answers is independent of edged: JSON by the standard library, XML by ElementTree.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from tests.support.dicom_samples import bare_file, plain, ui

BOUNDARY = "part of the test"
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.826.0.1.1"
SERIES = STUDY + ".1"
MULTIPART = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
DICOM_PART = (("Content-Type", "application/dicom"),)


@dataclass(frozen=True, slots=True)
class Named:
    """The UIDs of a made-up instance."""

    instance: str
    series: str = SERIES
    study: str = STUDY

    @property
    def path(self) -> str:
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


def named(number: int, study: str = STUDY) -> Named:
    """The `number`th instance of a study of one series."""
    return Named(f"{study}.1.{number}", f"{study}.1", study)


def made(name: Named, *, size: int = 2000, patient: bytes = b"P1", fill: bytes = b"\x5a") -> bytes:
    """A file of about `size` bytes that is an instance; another `fill` makes another data set."""
    filler = fill * (max(0, size - 500) // 2 * 2)
    return bare_file(
        ui(0x00080016, CT),
        ui(0x00080018, name.instance),
        plain(0x00100020, b"LO", patient + b" " * (len(patient) % 2)),
        ui(0x0020000D, name.study),
        ui(0x0020000E, name.series),
        plain(0x00420011, b"OB", filler),
    )


def multipart(
    parts: Iterable[bytes | tuple[Sequence[tuple[str, str]], bytes]], *, boundary: str = BOUNDARY, closing: bool = True
) -> bytes:
    """A multipart body; a part is its data, or its head and data."""
    out = bytearray()
    for part in parts:
        head, data = (DICOM_PART, part) if isinstance(part, bytes) else part
        lines = "".join(f"{name}: {value}\r\n" for name, value in head)
        out += b"--%s\r\n%s\r\n" % (boundary.encode(), lines.encode()) + data + b"\r\n"
    if closing:
        out += b"--%s--\r\n" % boundary.encode()
    else:
        del out[-2:]
    return bytes(out)


@dataclass(frozen=True, slots=True)
class Report:
    """A Store Instances Response: UIDs with Retrieve URL, UIDs with reason, reasons of no instance."""

    stored: dict[str, str]
    failed: dict[str, int]
    other: list[int]
    study_url: str | None
    classes: dict[str, str]


def json_report(body: bytes) -> Report:
    """Read the DICOM JSON form (PS3.18 F.2, I.1)."""
    data_set = json.loads(body)
    assert data_set["00081190"]["vr"] == "UR"

    def value(item: dict[str, dict[str, list[str]]], tag: str) -> str:
        return item[tag].get("Value", [""])[0]

    items = {tag: data_set.get(tag, {"Value": []})["Value"] for tag in ("00081198", "00081199", "0008119A")}
    assert all(items[tag] or tag not in data_set for tag in items), "an empty sequence"
    return Report(
        stored={value(each, "00081155"): value(each, "00081190") for each in items["00081199"]},
        failed={value(each, "00081155"): int(value(each, "00081197")) for each in items["00081198"]},
        other=[int(value(each, "00081197")) for each in items["0008119A"]],
        study_url=value(data_set, "00081190") or None,
        classes={value(each, "00081155"): value(each, "00081150") for each in items["00081199"] + items["00081198"]},
    )


def xml_report(body: bytes) -> Report:
    """Read the Native DICOM Model form (PS3.19 A.1)."""
    root = ElementTree.fromstring(body)
    space = {"n": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}

    def values(element: ElementTree.Element, tag: str) -> list[str]:
        found = element.findall(f"n:DicomAttribute[@tag='{tag}']/n:Value", space)
        return [each.text or "" for each in found]

    def items(tag: str) -> list[ElementTree.Element]:
        return root.findall(f"n:DicomAttribute[@tag='{tag}']/n:Item", space)

    named_items = items("00081199") + items("00081198")
    return Report(
        stored={values(each, "00081155")[0]: values(each, "00081190")[0] for each in items("00081199")},
        failed={values(each, "00081155")[0]: int(values(each, "00081197")[0]) for each in items("00081198")},
        other=[int(values(each, "00081197")[0]) for each in items("0008119A")],
        study_url=next(iter(values(root, "00081190")), None),
        classes={values(each, "00081155")[0]: values(each, "00081150")[0] for each in named_items},
    )


def parts_of(content_type: str, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a multipart answer, by a plain split: heads by lower-case name, and data."""
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip('"').encode()
    pieces = body.split(b"--" + boundary)
    assert pieces[0] == b""
    assert pieces[-1] in {b"--", b"--\r\n"}
    parts = []
    for piece in pieces[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().split("\r\n")]
        parts.append(({name.lower(): value for name, _, value in lines}, data.removesuffix(b"\r\n")))
    return parts
