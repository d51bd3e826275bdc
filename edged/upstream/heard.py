"""What was heard of a store request, in the terms of the verdict table: an answer, or silence.

Pure: a response or a NoAnswer in, an Answer or a Silence out. Nothing is decided here.
"""

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from edged.dicom.reasons import reason_text
from edged.dicomweb.store_report import Accepted, read_store_report
from edged.upstream.message import NoAnswer, Response
from edged.upstream.verdict_values import Answer, Report, Silence

TEXT_BYTES = 400
"""Looked at of a body that is not a Store Instances Response, for the sentence that says why."""


def answer_of(response: Response, now: float) -> Answer:
    """Read a response to a store request; `now` in seconds since the epoch. Source: PS3.18 10.5.3, Annex I."""
    content_type = dict(response.headers).get("content-type")
    read = None if response.truncated else read_store_report(response.body, content_type)
    report, text, meaning = None, _said(response.body), ""
    if read is not None:
        accepted = {uid: each.warning for uid, each in read.outcomes.items() if isinstance(each, Accepted)}
        failed = {uid: each.reason for uid, each in read.outcomes.items() if not isinstance(each, Accepted)}
        report = Report(accepted, failed)
        meaning = ", ".join(reason_text(reason) for reason in read.other_failures if reason is not None)
        text = ""
    answer = Answer.received(response.status, response.headers, report=report, text=text, now=now)
    return replace(answer, meaning=meaning)


def silence_of(error: NoAnswer, elapsed_s: float) -> Silence:
    """Say in the table's terms that no answer came, `elapsed_s` seconds after the request began."""
    return Silence(
        phase=error.phase.value,
        sent_bytes=error.sent_bytes,
        elapsed_s=elapsed_s,
        not_processed=error.not_processed,
        http2=error.http2,
        text=error.text,
        peer_text=error.said,
    )


def unsent_of(response: Response, ends: Iterable[tuple[str, int]]) -> frozenset[str]:
    """The SOP Instance UIDs of which not every byte had left when the response was complete; `ends` as of StoreBody."""
    if response.request_sent:
        return frozenset()
    return frozenset(uid for uid, end in ends if end > response.sent_bytes)


class _Problem(msgspec.Struct):
    detail: str


def _said(body: bytes) -> str:
    """The sentence of a Status Report (PS3.18 8.6.3, RFC 9457 3.1.4), or the beginning of anything else."""
    try:
        return msgspec.json.decode(body, type=_Problem).detail
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:TEXT_BYTES].decode("utf-8", "replace")
