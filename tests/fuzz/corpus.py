"""What the targets begin with: real messages and files, cut small, and what was found before.

What may live here: reading them. Inputs that broke an invariant once stand in `seeds/`, in a folder for each target,
and are tried for ever.
"""

from pathlib import Path

from edged.dicom import uids
from tests.support.dicom_samples import file_of, identified, plain, shipped_files, written

SEEDS = Path(__file__).parent / "seeds"
CORPUS = Path(__file__).parents[1] / "server" / "gunicorn_corpus"
LARGEST_FILE = 1500
BEGINNING = 1000
EVERY_SO_MANY = 5
"""Of the larger files: their beginnings differ little."""

PIXELS = plain(0x7FE00010, b"OW", bytes(range(256)))
ENCAPSULATED = (
    b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0\4\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0"
)
IMAGE = plain(0x00280010, b"US", b"\2\0") + plain(0x00280011, b"US", b"\2\0") + plain(0x00280100, b"US", b"\x10\0")


def saved(name: str) -> list[bytes]:
    """What once broke the invariant of a target."""
    return [path.read_bytes() for path in sorted((SEEDS / name).glob("*"))]


def gunicorn_corpus() -> tuple[bytes, ...]:
    """Requests that gunicorn's tests call valid or invalid, as they stand on the wire, without the long ones."""
    files = sorted(CORPUS.rglob("*.http"))
    requests = (
        path.read_bytes().replace(b"\n", b"").replace(b"\\r\\n", b"\r\n").replace(b"\\n", b"\n") for path in files
    )
    return tuple(request for request in requests if len(request) < BEGINNING)


def dicom_files() -> tuple[bytes, ...]:
    """Small files as they are, the beginnings of others, and some that have every way to write a data set."""
    small: dict[bytes, bytes] = {}
    beginnings: list[bytes] = []
    for path in shipped_files():
        if path.name.startswith("IM0"):  # one of a hundred that are alike
            continue
        octets = path.read_bytes()
        if len(octets) <= LARGEST_FILE:
            small[octets[-40:]] = octets
        else:
            beginnings.append(octets[:BEGINNING])
    return (*_made(), *small.values(), *beginnings[::EVERY_SO_MANY])


def _made() -> tuple[bytes, ...]:
    syntaxes = (
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    )
    return (
        *(written(identified(), syntax) for syntax in syntaxes),
        file_of(IMAGE, PIXELS),
        file_of(IMAGE, ENCAPSULATED, transfer_syntax_uid="1.2.840.10008.1.2.4.50"),
    )
