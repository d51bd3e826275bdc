"""The values that the verdict table takes and gives: what was heard, what is known, what is decided.

Only frozen values and closed sets of names live here; the rules are in verdict_reasons, verdict_status and
verdict_silence, and verdicts.decide puts them together.

Invariants: a Context is checked where it is made, so that no setting can turn an answer into "sent"; what a peer said
in its own words may hold a patient's name: it stands in what was heard and enters no verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edged.http.retry_after import parse_retry_after
from edged.upstream.redaction import shown_url

TEXT_LIMIT = 300  # enough for the sentence that matters of an archive's error page
REPEATS = 3  # of one request at once (a redirect, a new connection, a refused stream) before it has to wait
BEING_CREATED_WAIT_S = 600.0  # "being created" (B00FH) is asked about again after ten minutes


Headers = tuple[tuple[str, str], ...]


class Kind(StrEnum):
    """What is to be done with one instance."""

    SENT = "sent"  # the destination said "stored" for it
    AGAIN = "again"  # at once: the destination provably did not process it
    LATER = "later"  # its own back-off: the fault is transient
    PENDING = "pending"  # nothing was learnt about it; it goes when the destination goes
    DOUBTFUL = "doubtful"  # alone, in the slow lane
    STUCK = "stuck"  # out of the batches, a condition, tried daily and on command
    VERIFY = "verify"  # ask the destination whether it has it
    VERIFY_LATER = "verify-later"  # the same, but not before Verdict.after_s
    TRANSCODE = "transcode"  # again in a transfer syntax that the destination takes
    SPLIT = "split"  # each instance of the batch alone
    HALVE = "halve"  # in batches of half the size
    PARK = "park"  # a permanent verdict on this very instance


class Standing(StrEnum):
    """What an answer says of the destination."""

    OK = "ok"
    LATER = "later"  # the breaker opens
    HOLD = "hold"  # held under a condition; probes go on
    PROBE_OTHER = "probe-other"  # held; the next probe is another instance or an empty search
    AUTH_FAULT = "auth-fault"
    PROXY_AUTH_FAULT = "proxy-auth-fault"
    OTHER_ACCEPT = "other-accept"  # the same request, accepting XML instead of JSON or JSON instead of XML
    NEW_CONNECTION = "new-connection"  # the same request on another connection
    FOLLOW = "follow"  # the same request to DestinationVerdict.location


HELD = frozenset({Standing.HOLD, Standing.PROBE_OTHER, Standing.AUTH_FAULT, Standing.PROXY_AUTH_FAULT})


class ConditionName(StrEnum):
    """The standing problems that a verdict can raise."""

    AUTH_FAULT = "auth-fault"
    CANNOT_PROVE = "cannot-prove"
    CONFLICT = "conflict"
    COMMITMENT_REFUSED = "commitment-refused"
    COMMITMENT_UNREADABLE = "commitment-unreadable"
    MISCONFIGURED = "misconfigured"
    MOVED = "moved"
    PROXY_AUTH_FAULT = "proxy-auth-fault"
    REFUSED = "refused"
    REFUSES_ALL = "refuses-all"
    STUCK = "stuck"
    TOO_BIG_OR_TOO_SLOW = "too-big-or-too-slow"
    UNEXPECTED_ANSWER = "unexpected-answer"


OVERRIDES = frozenset({Kind.LATER, Kind.DOUBTFUL, Kind.VERIFY, Kind.VERIFY_LATER, Kind.TRANSCODE, Kind.PARK})
"""What `[destination.reasons]` may name; never "sent", which only a Store Instances Response can say."""


@dataclass(frozen=True, slots=True)
class Report:
    """A well-formed Store Instances Response by SOP Instance UID (PS3.18 Annex I)."""

    accepted: Mapping[str, int | None] = field(default_factory=dict)  # with its Warning Reason
    failed: Mapping[str, int | None] = field(default_factory=dict)  # with its Failure Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """A final HTTP answer to a store request.

    location is the Location field, meaning what the response says beyond its instances, text the peer's own words.
    """

    status: int
    report: Report | None = None
    location: str = ""
    retry_after_s: float | None = None
    text: str = ""
    meaning: str = ""

    @classmethod
    def received(cls, status: int, headers: Headers, *, report: Report | None, text: str, now: float) -> "Answer":
        """An answer as it came, header names in lower case; now in seconds since the epoch (RFC 9110 10.2)."""
        location = field_value(headers, "location")
        return cls(status, report, location, retry_after_s(headers, now), text)

    @property
    def summary(self) -> str:
        """The answer in one line: its status and what that means, in no words of the peer's."""
        return summary(self.status, self.meaning)

    @property
    def said(self) -> str:
        """What the peer said in its own words, in one line."""
        moved = f"Location: {shown_url(self.location)}" if self.location else ""
        return one_line(" ".join(filter(None, (self.text, moved))))


@dataclass(frozen=True, slots=True)
class Break:
    """Where a transfer broke off: octets sent and seconds since it began."""

    sent_bytes: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer came: the phase that failed (DESIGN 5), and what is known of the request's fate.

    text is ours, peer_text what the peer said in its own words.
    """

    phase: str
    sent_bytes: int = 0
    elapsed_s: float = 0.0
    not_processed: bool = False  # provably: a refused stream, a stream above GOAWAY's last
    http2: bool = False
    text: str = ""
    peer_text: str = ""

    @property
    def said(self) -> str:
        """What the peer said in its own words, in one line."""
        return one_line(self.peer_text)

    @property
    def summary(self) -> str:
        """The failure in one line, named by its phase."""
        return f"{self.phase}: {one_line(self.text)}" if self.text else f"{self.phase}: no answer"


@dataclass(frozen=True, slots=True)
class History:
    """What earlier tries told of one instance at one destination."""

    others_accepted: bool = False  # another instance was accepted since this one was last refused or broke
    doubtful: int = 0  # doubtful answers so far, counted only while others passed
    breaks: tuple[Break, ...] = ()  # the latest two or three, counted only while others passed
    transcoded: bool = False  # this try was a transcoded one, or there is nothing to transcode


_NEW = History()


@dataclass(frozen=True, slots=True)
class Context:
    """What the table needs to know besides the answer; raises ValueError for an override that is not allowed."""

    histories: Mapping[str, History] = field(default_factory=dict)
    overrides: Mapping[int, Kind] = field(default_factory=dict)
    url: str = ""  # that the request was sent to, with its target: what a relative Location is relative to
    may_transcode: bool = False  # the settings allow it for this destination
    search_passed: bool = False  # an empty search passed since the destination was last refused
    tried_other_accept: bool = False  # it was refused already with the other Accept
    repeated: int = 0  # times it was sent again at once
    batch_failures: int = 0  # times this very batch failed before
    unsent: frozenset[str] = frozenset()  # of these not every byte had left when the answer was complete

    def __post_init__(self) -> None:
        for code, kind in self.overrides.items():
            if kind not in OVERRIDES:
                raise ValueError(f"reason {code:04X}H: {kind!r} is not one of {', '.join(sorted(OVERRIDES))}")

    def history(self, uid: str) -> History:
        """What is known of one instance; an instance never tried has an empty history."""
        return self.histories.get(uid, _NEW)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with one instance, and why; after_s is the least wait.

    may_be_there: the answer was lost, not the instance; it is looked for before it is sent again.
    """

    kind: Kind
    reason: int | None = None
    warning: int | None = None
    text: str = ""
    condition: ConditionName | None = None
    after_s: float | None = None
    may_be_there: bool = False


@dataclass(frozen=True, slots=True)
class DestinationVerdict:
    """What is to be done with the destination; location is the origin-form target to FOLLOW."""

    standing: Standing
    retry_after_s: float | None = None
    condition: ConditionName | None = None
    hint: str = ""
    location: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one row of the table decides: one verdict for all instances in question, and the destination's."""

    instance: Verdict
    destination: DestinationVerdict


@dataclass(frozen=True, slots=True)
class Decision:
    """Exactly one verdict for each instance of the batch, and one for the destination."""

    instances: Mapping[str, Verdict]
    destination: DestinationVerdict


@dataclass(frozen=True, slots=True)
class Row:
    """One published row of the verdict table."""

    condition: str
    verdict: str
    why: str


def one_line(text: str) -> str:
    """A peer's text without line ends and control characters, at most TEXT_LIMIT characters."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * TEXT_LIMIT])
    return " ".join(printable.split())[:TEXT_LIMIT]


def summary(status: int, meaning: str = "") -> str:
    """An answer in one line: its status and what it means, in no words of the peer's."""
    return f"HTTP {status}: {one_line(meaning)}" if meaning else f"HTTP {status}"


def field_value(headers: Headers, name: str) -> str:
    """The first value of a field, or nothing."""
    return next((value.strip() for key, value in headers if key == name), "")


def retry_after_s(headers: Headers, now: float) -> float | None:
    """What Retry-After asks for in seconds, or None; now in seconds since the epoch (RFC 9110 10.2.3)."""
    return parse_retry_after(field_value(headers, "retry-after"), now)
