"""Small data sets as files: an independent reader finds in them what was written."""

import io

import pydicom
from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.binary_model import to_file
from edged.dicomweb.data_set import Attribute, DataSet

UID = st.integers(1, 10**12).map(lambda number: f"2.25.{number}")


@given(st.lists(UID, max_size=5), st.integers(0, 2**64 - 1), st.text("Aä部 ", max_size=9), st.integers(0, 65535))
def test_what_is_written_is_read_by_others(uids: list[str], number: int, text: str, message: int) -> None:
    items: list[DataSet] = [{"00081155": Attribute("UI", (uid,)), "00081190": Attribute("UR")} for uid in uids]
    data_set: DataSet = {
        "00000110": Attribute("US", (message,)),
        "00000002": Attribute("UI", ("1.2.3",)),
        "00081199": Attribute("SQ", tuple(items)),
        "00990010": Attribute("LO", ("EDGED 1.0",)),
        "00991001": Attribute("UV", (number,)),
        "00991005": Attribute("LT", (text,)),
    }
    read = pydicom.dcmread(io.BytesIO(to_file(data_set, sop_class_uid="1.2.3", sop_instance_uid="1.2.3.4")))
    assert (read.MessageID, read.AffectedSOPClassUID, read.CommandGroupLength) == (message, "1.2.3", 24)
    assert read.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert [item.ReferencedSOPInstanceUID for item in read.ReferencedSOPSequence] == uids
    block = read.private_block(0x0099, "EDGED 1.0")
    assert (block[1].value, block[5].value) == (number, text.rstrip(" ") or block[5].value)


def test_without_a_command_set() -> None:
    read = pydicom.dcmread(io.BytesIO(to_file({}, sop_class_uid="1.2.3", sop_instance_uid="1.2.3.4")))
    assert list(read.keys()) == [0x00080005]
