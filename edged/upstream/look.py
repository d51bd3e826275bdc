"""Looking whether a destination has an instance: WADO-RS instance metadata first, then QIDO-RS (DICOM.md §5).

What is found is compared (`comparing`). That a destination cannot be asked is another finding than that it does not
have the instance.
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from uuid import uuid4

import trio

from edged.config import CredentialError
from edged.dicom.uids import uid_from_uuid
from edged.dicomweb.data_set import DataSet, DataSetError, text_of
from edged.dicomweb.representation import read_data_sets
from edged.store.records import Instance
from edged.upstream.asking import Asking
from edged.upstream.comparing import SHOWN, SOP_INSTANCE, Finding, Purpose, compare
from edged.upstream.message import NoAnswer, Request, Response
from edged.upstream.verify_by_retrieve import compare_data_sets

PAGE_ROWS = 1000
"""What one answer should hold at most: it is read into memory."""

MOST_PAGES = 100

SERIES_FROM = 4
"""Instances of one series from which on one search for the whole series is cheaper than a look for each."""

_JSON = (("accept", "application/dicom+json"),)
_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.NO_CONTENT, HTTPStatus.GONE})


class Looker:
    """Asks one destination."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def look(self, instance: Instance, purpose: Purpose = Purpose.PROOF) -> Finding:
        """Say whether the destination has this instance. Raises CredentialError."""
        finding = await self._ask(_metadata_target(instance), instance, purpose)
        if finding in {Finding.THERE, Finding.DIFFERS}:
            return finding
        searched = await self._ask(_search_target(instance), instance, purpose)
        return finding if searched in {Finding.UNKNOWN, Finding.SILENT} else searched

    async def look_both_ways(self, instance: Instance) -> Finding:
        """Say whether it still has an instance; absent only if neither retrieve nor search shows it.

        Raises CredentialError.
        """
        finding = await self._ask(_metadata_target(instance), instance, Purpose.VERIFY)
        if finding in {Finding.THERE, Finding.DIFFERS, Finding.SILENT}:
            return finding
        searched = await self._ask(_search_target(instance), instance, Purpose.VERIFY)
        return Finding.UNKNOWN if searched is Finding.ABSENT and finding is Finding.UNKNOWN else searched

    async def compare_data_sets(self, instance: Instance, processor: trio.Lock) -> Finding:
        """Have the destination give the instance back and compare its data set with ours."""
        return await compare_data_sets(self._asking, instance, processor)

    async def series(self, study: str, series: str, wanted: Collection[str] = ()) -> Mapping[str, DataSet]:
        """Return what a search for a series' instances shows, by SOP Instance UID; empty if it cannot be asked.

        Page by page, until all that are `wanted` were shown, or nothing new is: an archive may give fewer at a time
        than it was asked for, or not know pages at all (PS3.18 8.3.4.4). Raises CredentialError.
        """
        fields = "&".join(f"includefield={tag}" for tag in SHOWN)
        shown: dict[str, DataSet] = {}
        for _ in range(MOST_PAGES):
            page = f"&limit={PAGE_ROWS}&offset={len(shown)}"
            response = await self._get(f"/studies/{study}/series/{series}/instances?{fields}{page}")
            found = _data_sets(response) if response is not None else None
            before = len(shown)
            shown |= {text_of(each, SOP_INSTANCE): each for each in found or ()}
            if len(shown) == before or (wanted and shown.keys() >= set(wanted)):
                break
        return shown

    async def search_passes(self) -> bool:
        """Say whether the destination answers a search that finds nothing: a probe that hurts nobody."""
        try:
            response = await self._get(f"/studies?StudyInstanceUID={uid_from_uuid(uuid4())}&limit=1")
        except CredentialError:
            return False
        return response is not None and response.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}

    async def _ask(self, target: str, instance: Instance, purpose: Purpose) -> Finding:
        response = await self._get(target)
        if response is None:
            return Finding.SILENT
        if response.status in _NOT_THERE:
            return Finding.ABSENT
        found = _data_sets(response)
        if found is None:
            return Finding.UNKNOWN
        mine = [each for each in found if text_of(each, SOP_INSTANCE) == instance.sop_instance_uid]
        return compare(mine[0], instance, purpose) if mine else Finding.ABSENT

    async def _get(self, target: str) -> Response | None:
        try:
            return await self._asking.request(Request("GET", self._asking.target(target), _JSON))
        except NoAnswer:
            return None


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
    fields = "&".join(f"includefield={tag}" for tag in SHOWN)
    return (
        f"/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances?SOPInstanceUID={instance.sop_instance_uid}&{fields}"
    )
