"""The verdict on what a store answer's body leaves open, by HTTP status: the table.

One row per group of status codes, with the words that are published, the remedy that a condition shows, and the
rule that decides (verdict_rules). What no row names falls to the last one: held and probed, never parked.

Invariants: every status from 100 to 999 has exactly one row; a rule that may park is named only in the rows of
400, 409, 413, 415 and 501.
"""

from http import HTTPStatus

from edged.dicom.reasons import FailureReason
from edged.upstream import verdict_rules as rules
from edged.upstream.verdict_rules import Case, StatusRow
from edged.upstream.verdict_values import ConditionName, Row, Ruling

TIMEOUT_OCCURRED = 524  # not registered; a content delivery network's name for 504

NOT_NOW = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

_SPLIT = "split to single ones; a single one is parked once another was accepted since, else the destination is held"
_HELD = "hold the destination; the condition names the remedy"
_LATER = "later, Retry-After honoured, the breaker opens; a batch that fails twice is split"
_SETTING = "only a change of the settings can cure it"
_REFUSES = "every instance is refused: compare what the destination accepts with what is sent"


def _remedy(status: HTTPStatus, hint: str) -> StatusRow:
    return StatusRow((status,), rules.hold, f"hold: {hint}", _SETTING, hint=hint)


STATUS_ROWS = (
    StatusRow(
        tuple(range(200, 300)),
        rules.no_evidence,
        "no evidence: verify; where that is impossible, hold under cannot-prove",
        "archives answer success and have nothing",
        label="2xx",
    ),
    StatusRow(
        (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT),
        rules.refused,
        _SPLIT,
        "one instance can spoil a request",
        hint=_REFUSES,
    ),
    StatusRow(
        (HTTPStatus.UNSUPPORTED_MEDIA_TYPE,),
        rules.refused,
        f"as C122H: {_SPLIT}",
        "the transfer syntax of one of them, or the form of all",
        hint="the destination refuses the media type or the transfer syntax of every instance",
        reason=FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED,
    ),
    StatusRow(
        (HTTPStatus.NOT_IMPLEMENTED,),
        rules.refused,
        f"as 0122H: {_SPLIT}",
        "the SOP Class of one of them, or the service",
        hint="the destination does not offer the store transaction: check `url`",
        reason=FailureReason.SOP_CLASS_NOT_SUPPORTED,
    ),
    StatusRow(
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE,),
        rules.too_large,
        "halve; a single one as after 400",
        "proxies and archives bound a request's size",
        hint="the destination or a proxy accepts only smaller requests: raise its limit or set `max_instance`",
    ),
    StatusRow(
        (HTTPStatus.UNAUTHORIZED,),
        rules.unauthorized,
        "refresh the credential once, then hold in an authentication fault that keeps probing",
        "a token may have expired on the way",
        hint="check `[destination.auth]` and the clock",
    ),
    StatusRow(
        (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE),
        rules.forbidden,
        "hold and probe with another instance or an empty search; if it passes, this one is doubtful",
        "a firewall that dislikes one body answers as a wrong URL or a missing right does",
        hint="check `url` and the rights of the credential",
        condition=ConditionName.REFUSED,
    ),
    StatusRow(
        (HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,),
        rules.proxy_unauthorized,
        "authentication fault of the proxy",
        "the destination was never reached",
        hint="give the proxy's credential",
    ),
    StatusRow(
        (HTTPStatus.NOT_ACCEPTABLE,),
        rules.not_acceptable,
        f"once more accepting dicom+xml instead of dicom+json, or the reverse; what works is remembered; else {_HELD}",
        "older archives answer in XML only",
        hint="the destination offers its answer neither in DICOM JSON nor in DICOM XML",
    ),
    StatusRow(
        (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER),
        rules.hold,
        _HELD,
        "following these would turn the upload into a GET",
        hint="set `url` to where the service is now",
        condition=ConditionName.MOVED,
    ),
    StatusRow(
        (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT),
        rules.follow,
        "followed on the same scheme and host with method and body; else hold",
        "an instance goes only where the settings say",
        hint="set `url` to where the service is now",
        condition=ConditionName.MOVED,
    ),
    _remedy(HTTPStatus.METHOD_NOT_ALLOWED, "`url` must be the Base URI, to which /studies is appended"),
    _remedy(HTTPStatus.LENGTH_REQUIRED, "a proxy on the way removes Content-Length"),
    _remedy(HTTPStatus.PRECONDITION_FAILED, "remove conditional fields from `headers`"),
    _remedy(HTTPStatus.REQUEST_URI_TOO_LONG, "`url` is too long for the destination"),
    _remedy(HTTPStatus.EXPECTATION_FAILED, "remove Expect from `headers`"),
    _remedy(HTTPStatus.UNPROCESSABLE_ENTITY, "the destination refuses the request; its log says why"),
    _remedy(HTTPStatus.UPGRADE_REQUIRED, "the destination asks for another protocol: check `http` and `url`"),
    _remedy(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "shorten `headers` or the token"),
    _remedy(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "set `http` to another version"),
    StatusRow(
        (HTTPStatus.MISDIRECTED_REQUEST,),
        rules.misdirected,
        "the same on a new connection; after three times later",
        "a shared connection that does not serve this host",
    ),
    StatusRow(
        NOT_NOW,
        rules.not_now,
        "later, Retry-After honoured, the breaker opens",
        "the destination speaks of itself, not of an instance",
    ),
    StatusRow(
        (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, TIMEOUT_OCCURRED),
        rules.timed_out,
        "later, as below, and the batch is halved",
        "a proxy's time-out bounds what one request may take",
    ),
    StatusRow(
        (HTTPStatus.FAILED_DEPENDENCY, *range(500, 600)),
        rules.later,
        f"{_LATER}; a single one that fails while others pass is doubtful",
        "faults of the destination pass",
        label="424, other 5xx",
    ),
)

UNFORESEEN = StatusRow(
    (),
    rules.hold,
    "hold and probe, never park",
    "nothing is known of what it means",
    label="any other status",
    hint="the destination answers with a status that is not expected of a store",
    condition=ConditionName.UNEXPECTED_ANSWER,
)

_ROW_OF = {status: row for row in reversed(STATUS_ROWS) for status in row.statuses}


def rule_status(case: Case) -> Ruling:
    """What the status means for the instances that the body leaves open (DICOM.md 4; PS3.18 Table 10.5.3-1)."""
    row = _ROW_OF.get(case.answer.status, UNFORESEEN)
    return row.rule(case, row)


def status_rows() -> list[Row]:
    """The rows by status, as published."""
    return [Row(_label(row), row.verdict, row.why) for row in (*STATUS_ROWS, UNFORESEEN)]


def _label(row: StatusRow) -> str:
    return row.label or ", ".join(str(int(status)) for status in row.statuses)
