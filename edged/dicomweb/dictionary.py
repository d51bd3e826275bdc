"""The data elements that edged's own small data sets are made of.

One constant per element with tag, VR and keyword (PS3.6); `of` gives it its values, so that a data set
is written as `ELEMENT.of(value) | OTHER.of(value)`. This is not a data dictionary: an element gets its line
here when a report needs it. Private elements stand in the block `EDGED 1.0` of group 0099.
"""

from dataclasses import dataclass
from typing import Final

from edged.dicomweb.data_set import Attribute, DataSet, Value

PRIVATE_CREATOR_VALUE: Final = "EDGED 1.0"


@dataclass(frozen=True, slots=True)
class Element:
    """A data element: its tag as eight upper-case hexadecimal digits, VR, and keyword."""

    tag: str
    vr: str
    keyword: str = ""

    def of(self, *values: Value) -> DataSet:
        """Return a data set of this element alone; it is empty without values, or with one empty text."""
        return {self.tag: Attribute(self.vr, () if values == ("",) else values)}


AFFECTED_SOP_CLASS_UID: Final = Element("00000002", "UI", "AffectedSOPClassUID")
COMMAND_FIELD: Final = Element("00000100", "US", "CommandField")
MESSAGE_ID: Final = Element("00000110", "US", "MessageID")
COMMAND_DATA_SET_TYPE: Final = Element("00000800", "US", "CommandDataSetType")
AFFECTED_SOP_INSTANCE_UID: Final = Element("00001000", "UI", "AffectedSOPInstanceUID")
EVENT_TYPE_ID: Final = Element("00001002", "US", "EventTypeID")

SOP_CLASS_UID: Final = Element("00080016", "UI", "SOPClassUID")
SOP_INSTANCE_UID: Final = Element("00080018", "UI", "SOPInstanceUID")
RETRIEVE_AE_TITLE: Final = Element("00080054", "AE", "RetrieveAETitle")
INSTANCE_AVAILABILITY: Final = Element("00080056", "CS", "InstanceAvailability")
REFERENCED_STUDY_SEQUENCE: Final = Element("00081110", "SQ", "ReferencedStudySequence")
REFERENCED_PPS_SEQUENCE: Final = Element("00081111", "SQ", "ReferencedPerformedProcedureStepSequence")
REFERENCED_INSTANCES_BY_SOP_CLASS_SEQUENCE: Final = Element("00081112", "SQ", "ReferencedInstancesBySOPClassSequence")
REFERENCED_SERIES_SEQUENCE: Final = Element("00081115", "SQ", "ReferencedSeriesSequence")
REFERENCED_INSTANCE_SEQUENCE: Final = Element("0008114A", "SQ", "ReferencedInstanceSequence")
REFERENCED_SOP_CLASS_UID: Final = Element("00081150", "UI", "ReferencedSOPClassUID")
REFERENCED_SOP_INSTANCE_UID: Final = Element("00081155", "UI", "ReferencedSOPInstanceUID")
RETRIEVE_URL: Final = Element("00081190", "UR", "RetrieveURL")
TRANSACTION_UID: Final = Element("00081195", "UI", "TransactionUID")
WARNING_REASON: Final = Element("00081196", "US", "WarningReason")
FAILURE_REASON: Final = Element("00081197", "US", "FailureReason")
FAILED_SOP_SEQUENCE: Final = Element("00081198", "SQ", "FailedSOPSequence")
REFERENCED_SOP_SEQUENCE: Final = Element("00081199", "SQ", "ReferencedSOPSequence")
OTHER_FAILURES_SEQUENCE: Final = Element("0008119A", "SQ", "OtherFailuresSequence")
FAILED_STUDY_SEQUENCE: Final = Element("0008119B", "SQ", "FailedStudySequence")
STUDY_INSTANCE_UID: Final = Element("0020000D", "UI", "StudyInstanceUID")
SERIES_INSTANCE_UID: Final = Element("0020000E", "UI", "SeriesInstanceUID")
NUMBER_OF_STUDY_RELATED_INSTANCES: Final = Element("00201208", "IS", "NumberOfStudyRelatedInstances")

PRIVATE_CREATOR: Final = Element("00990010", "LO")
LAST_EVENT_NUMBER: Final = Element("00991001", "UV")
FIRST_EVENT_NUMBER: Final = Element("00991002", "UV")
EVENT_KIND: Final = Element("00991003", "LO")
EVENT_SUBJECT: Final = Element("00991004", "UC")
EVENT_TEXT: Final = Element("00991005", "LT")
RESUME_NUMBER: Final = Element("00991006", "UV")
EVENT_TIME: Final = Element("00991007", "DT")

KEYWORDS: Final = {
    element.tag: element.keyword
    for element in list(globals().values())
    if isinstance(element, Element) and element.keyword
}
