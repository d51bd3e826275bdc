"""Whether a file that an archive holds is the instance that was given to the box, judged by pydicom and not by edged.

What may leave as it is must be there byte for byte. Implicit VR and Big Endian leave as Explicit VR Little Endian
(DICOM.md §1): then every element must be there with an equal value, sequences included, group lengths and trailing
padding aside, and binary words in the other byte order where they were big.
"""

from array import array

from pydicom import Dataset

from tests.support.dicom_samples import read, unheard

_WORDS = {"OW": "H", "OL": "I", "OF": "I", "OD": "Q", "OV": "Q"}
_PADDING = 0xFFFCFFFC


def assert_same_instance(given: bytes, there: bytes) -> None:
    """Fail unless `there` is what must become of `given` on its way."""
    here, archived = read(given), read(there)
    implicit, little = here.original_encoding
    if little and not implicit and not _implicit_in_truth(given):
        assert there == given, here.SOPInstanceUID
        return
    assert archived.original_encoding == (False, True)
    with unheard():
        _assert_same(here, archived, big=not little)


def _implicit_in_truth(given: bytes) -> bool:
    """Whether the data set is in Implicit VR although its transfer syntax says otherwise, as in one of pydicom's."""
    start = 144 + int.from_bytes(given[140:144], "little")
    return given[start : start + 2] == b"\x08\x00" and not given[start + 4 : start + 6].isalpha()


def _assert_same(here: Dataset, there: Dataset, *, big: bool) -> None:
    kept = {int(element.tag) for element in here if element.tag & 0xFFFF and element.tag != _PADDING}
    assert kept == {int(element.tag) for element in there}
    for tag in kept:
        one, other = here[tag], there[tag]
        if one.VR == "SQ":
            assert len(one.value) == len(other.value), one.tag
            for item, its_copy in zip(one.value, other.value, strict=True):
                _assert_same(item, its_copy, big=big)
        elif big and one.VR in _WORDS and one.value:
            words = array(_WORDS[one.VR], one.value)
            words.byteswap()
            assert other.value == words.tobytes(), one.tag
        else:
            assert one.value == other.value, one.tag
