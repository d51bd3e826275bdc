"""Looking whether a destination has an instance: WADO-RS instance metadata first, then QIDO-RS (DICOM.md §5).

What is found is compared on attributes that catch another or a truncated instance; what an archive coerces (patient,
study, request) is not looked at. An attribute that the answer does not carry says nothing. That a destination cannot be
asked is another finding than that it does not have the instance.
"""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from uuid import uuid4

from edged.config import CredentialError
from edged.dicom.uids import uid_from_uuid
from edged.dicomweb.data_set import DataSet, DataSetError, text_of
from edged.dicomweb.representation import read_data_sets
from edged.services.retrieve import leaving_transfer_syntax
from edged.store.records import Instance
from edged.upstream.asking import Asking
from edged.upstream.message import NoAnswer, Request, Response

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"
_TRANSFER_SYNTAX = "00083002"
_COMPARED = {
    "Rows": "00280010",
    "Columns": "00280011",
    "BitsAllocated": "00280100",
    "BitsStored": "00280101",
    "NumberOfFrames": "00280008",
    "ContentDate": "00080023",
    "ContentTime": "00080033",
    "InstanceCreationDate": "00080012",
    "InstanceCreationTime": "00080013",
}
_NUMBERS = frozenset({"Rows", "Columns", "BitsAllocated", "BitsStored"})
_JSON = (("accept", "application/dicom+json"),)
_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.NO_CONTENT, HTTPStatus.GONE})


class Finding(StrEnum):
    """What looking told."""

    THERE = "there"
    DIFFERS = "differs"
    ABSENT = "absent"
    UNKNOWN = "unknown"  # it answered, and the answer says nothing of the instance
    SILENT = "silent"  # no answer was had


class Looker:
    """Asks one destination."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def look(self, instance: Instance) -> Finding:
        """Say whether the destination has this instance."""
        finding = await self._ask(_metadata_target(instance), instance)
        if finding in {Finding.THERE, Finding.DIFFERS}:
            return finding
        searched = await self._ask(_search_target(instance), instance)
        return finding if searched in {Finding.UNKNOWN, Finding.SILENT} else searched

    async def series(self, study: str, series: str) -> Mapping[str, DataSet]:
        """Return what a search for a series' instances shows, by SOP Instance UID; empty if it cannot be asked."""
        fields = "&".join(f"includefield={tag}" for tag in (*_COMPARED.values(), _TRANSFER_SYNTAX))
        response = await self._get(f"/studies/{study}/series/{series}/instances?{fields}")
        found = _data_sets(response) if response is not None else None
        return {text_of(each, _SOP_INSTANCE): each for each in found or ()}

    async def search_passes(self) -> bool:
        """Say whether the destination answers a search that finds nothing: a probe that hurts nobody."""
        response = await self._get(f"/studies?StudyInstanceUID={uid_from_uuid(uuid4())}&limit=1")
        return response is not None and response.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}

    async def _ask(self, target: str, instance: Instance) -> Finding:
        response = await self._get(target)
        if response is None:
            return Finding.SILENT
        if response.status in _NOT_THERE:
            return Finding.ABSENT
        found = _data_sets(response)
        if found is None:
            return Finding.UNKNOWN
        mine = [each for each in found if text_of(each, _SOP_INSTANCE) == instance.sop_instance_uid]
        return compare(mine[0], instance) if mine else Finding.ABSENT

    async def _get(self, target: str) -> Response | None:
        try:
            return await self._asking.request(Request("GET", self._asking.target(target), _JSON))
        except (NoAnswer, CredentialError):
            return None


def compare(found: DataSet, instance: Instance) -> Finding:
    """Say whether what an archive shows is the instance that is stored here."""
    if text_of(found, _SOP_CLASS) not in {"", instance.sop_class_uid}:
        return Finding.DIFFERS
    syntaxes = _texts(found, _TRANSFER_SYNTAX)
    if syntaxes and leaving_transfer_syntax(instance) not in syntaxes:
        return Finding.DIFFERS
    for keyword, tag in _COMPARED.items():
        theirs, ours = text_of(found, tag), _ours(instance, keyword)
        if theirs and ours and _value(theirs) != _value(ours):
            return Finding.DIFFERS
    return Finding.THERE


def _texts(found: DataSet, tag: str) -> set[str]:
    """Every value of an attribute: an archive may offer an instance in several transfer syntaxes."""
    attribute = found.get(tag)
    return {str(value).strip(" \0") for value in attribute.values if value} if attribute else set()


def _ours(instance: Instance, keyword: str) -> str:
    raw = instance.attributes.get(keyword, b"")
    if keyword in _NUMBERS:
        return str(int.from_bytes(raw[:2], "little")) if len(raw) >= 2 else ""
    return raw.decode("latin-1").strip(" \0")


def _value(text: str) -> str:
    """The part that all archives keep: no fraction of a second, no leading zeros of a number."""
    text = text.strip().partition(".")[0]
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else text


def _data_sets(response: Response) -> list[DataSet] | None:
    if response.status != HTTPStatus.OK or response.truncated:
        return [] if response.status == HTTPStatus.NO_CONTENT else None
    try:
        return read_data_sets(response.body, dict(response.headers).get("content-type"))
    except DataSetError:
        return None


def _metadata_target(instance: Instance) -> str:
    return (
        f"/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances/{instance.sop_instance_uid}/metadata"
    )


def _search_target(instance: Instance) -> str:
    fields = "&".join(f"includefield={tag}" for tag in (*_COMPARED.values(), _TRANSFER_SYNTAX))
    return (
        f"/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances?SOPInstanceUID={instance.sop_instance_uid}&{fields}"
    )
