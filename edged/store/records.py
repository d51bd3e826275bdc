"""The values of the tables: frozen, slotted, written as MessagePack arrays.

New fields go to the end with a default, so that older rows still decode. Times are seconds since the epoch.
"""

from enum import IntEnum, StrEnum
from typing import TypeVar

import msgspec

from edged.dicomweb.event_report import EventKind


class UnownedKind(IntEnum):
    """Why chunks have no record."""

    SPOOLING = 0
    EVICTING = 1
    REPLACED = 2


class DeliveryState(IntEnum):
    """How far one instance is with one destination (DESIGN §1.3)."""

    HELD = 0
    ON_HOLD = 1
    STUCK = 2
    PARKED = 3
    SENT = 4
    COMMITTED = 5


class Check(StrEnum):
    """The least that must speak for an instance before it counts as sent."""

    ANSWER = ""
    DIGEST = "digest"


class Happened(StrEnum):
    """What an entry of an instance's history tells."""

    HELD = "held"  # back in the queue: to be sent again, or let go by a person
    ON_HOLD = "on-hold"
    STUCK = "stuck"
    PARKED = "parked"
    ANSWERED = "answered"  # by a verdict on this very instance that moved nothing
    LOOKED = "looked"  # it was looked for at the destination
    ASKED = "asked"  # for a commitment, and was not given one
    DOUBTED = "doubted"  # a commitment was taken back, or could not be proven again
    TRANSCODED = "transcoded"
    MOVED = "moved"  # to another destination, by a person
    DISCARDED = "discarded"  # by a person


class Standing(StrEnum):
    """An instance as a whole, by its least advanced required destination."""

    HELD = "held"
    SENT = "sent"
    COMMITTED = "committed"
    PARKED = "parked"
    CONFLICT = "conflict"


class Record(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Base of all records."""


class Unowned(Record, frozen=True):
    """Chunks without a record; `since` is when the first was written."""

    kind: UnownedKind
    since: float


class Instance(Record, frozen=True):
    """What never changes about a stored instance.

    `size` is the stored bytes, `exit_length` those of the form that leaves over the web (DICOM.md §1): the same when it
    `leaves_as_is`. `transfer_syntax_uid` is that of the stored data set.
    `body_offset` is where the body begins in the stored bytes, as their digest takes them (`dicom/digests.py`).
    `destinations` holds the ids fixed at admission, `required` those that gate eviction, `rule` names what chose them.
    `sender` and `address` tell from whom it came to the `intake`, as far as is known.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    size: int
    dataset_offset: int
    body_offset: int
    exit_length: int
    file_digest: bytes
    dataset_digest: bytes
    received: float
    intake: str
    destinations: tuple[int, ...]
    required: tuple[int, ...]
    attributes: dict[str, bytes]
    conflict: bool = False
    leaves_as_is: bool = True
    rule: str = ""
    sender: str = ""
    address: str = ""


class Study(Record, frozen=True):
    """What a later instance of the same study is compared with (DICOM.md §2)."""

    first: int
    instances: int
    last_received: float
    patient_id: bytes
    issuer: bytes
    birth_date: bytes


class Series(Record, frozen=True):
    """The study that a series was first seen in, and how many instances name it."""

    study_instance_uid: str
    instances: int


class Remembered(Record, frozen=True):
    """What is kept of an evicted instance: which data set it was, and that it was committed to."""

    number: int
    sop_class_uid: str
    dataset_digest: bytes
    evicted: float
    proofs: tuple[str, ...]


class Delivery(Record, frozen=True):
    """One instance at one destination.

    `evidence` is how it came to be sent (`stored`, `found`), `proof` the kind of proof that committed it.
    `reason` is the peer's DICOM code, `text` what a person needs to know; `batch` ties it to the log.
    `ask_first`: it was committed before an eviction here, so whoever sends asks the destination before it uploads.
    `check` is the least that must be compared before it counts as sent: nothing beyond the answer, or the `digest`,
    because another data set may have been sent under its UID. `resends`: how often it was sent again because it was
    "stored" and not to be found. `answer` tells in words what decided, or in which form it left. `doubted` is since
    when a commitment is doubted, 0 if it is not. `transaction_uid` is that of the storage commitment request that
    proved it. `check` and `resends` outlast every move.
    """

    state: DeliveryState
    since: float
    urgency: int = 1
    evidence: str = ""
    proof: str = ""
    reason: int | None = None
    text: str = ""
    batch: str = ""
    sent_at: float = 0.0
    ask_first: bool = False
    check: Check = Check.ANSWER
    resends: int = 0
    answer: str = ""
    doubted: float = 0.0
    transaction_uid: str = ""


class Queued(Record, frozen=True):
    """What a worker needs to form a batch without reading the instance; `size` is what leaves, in bytes."""

    study: str
    size: int
    since: float
    ask_first: bool = False


class Event(Record, frozen=True):
    """One event; which fields are filled depends on the kind."""

    kind: EventKind
    time: float
    instance: int = 0
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    destination: str = ""
    transaction_uid: str = ""
    text: str = ""


class Told(Record, frozen=True):
    """What followers were told to stand, by names: conditions, and destinations that are down."""

    conditions: tuple[str, ...] = ()
    down: tuple[str, ...] = ()


class Subscriber(Record, frozen=True):
    """A follower of the event log that has a name: how far it has come, whose it is, and what it said.

    It has taken the events up to `after`, and of what it asked for then (`view`, a digest) `skip` reports of those up
    to `until`. `owner` is the credential that it came with. `acknowledges`: it once did, so that what it does not
    acknowledge is sent again; False: it was given the time to, and did not. `refused` reports it has refused; the last
    time it said `refusal`. `refuses`: so it did with the latest one. `waited`: for so many seconds it had reports
    and had acknowledged none yet, on connections that it closed itself. `choked`: so often it closed because of the
    size of the report after its place.
    """

    after: int
    since: float
    seen: float
    owner: str = ""
    acknowledges: bool | None = None
    until: int = 0
    skip: int = 0
    view: bytes = b""
    refused: int = 0
    refusal: str = ""
    refuses: bool = False
    waited: float = 0.0
    choked: int = 0


class CommitmentRequest(Record, frozen=True):
    """A storage commitment request made of the box (PS3.18 13); `answered` is 0 until the result stands.

    `left` references are not decided yet and `failed` ones are decided against; -1 stands for both being unknown.
    """

    number: int
    study_form: bool
    received: float
    count: int
    digest: bytes
    answered: float = 0.0
    purged: bool = False
    left: int = -1
    failed: int = 0


class Reference(Record, frozen=True):
    """One instance that a commitment request names; `reason` is None until decided, 0 for committed."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    reason: int | None = None


class CommitRecord(Record, frozen=True):
    """What is kept for years of an evicted instance: who had committed to which data set, by which kind of proof.

    `committed` is when the last of them did; `proofs` are by destination. `lost`: a destination was found not to have
    it any more, so that nothing may be said of it but what is asked anew.
    """

    number: int
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    dataset_digest: bytes
    committed: float
    evicted: float
    proofs: dict[int, str]
    lost: bool = False


class HistoryEntry(Record, frozen=True):
    """One thing that happened to an instance; `status` is the HTTP status, `reason` the peer's DICOM code, if any.

    `text` may be a peer's own words, without secrets; `batch` is the first of `times` that the same was said until
    `until`, which is 0 for once.
    """

    what: Happened
    time: float
    destination: int = 0
    batch: str = ""
    status: int = 0
    reason: int | None = None
    text: str = ""
    times: int = 1
    until: float = 0.0


class Ask(Record, frozen=True):
    """A storage commitment request that the box makes over these instances; after a crash its result is asked for."""

    numbers: tuple[int, ...]
    created: float


R = TypeVar("R", bound=Record)

pack = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Record], msgspec.msgpack.Decoder[Record]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in Record.__subclasses__()
}


def unpack(kind: type[R], value: bytes | memoryview) -> R:
    """Return the record in `value`; raises msgspec.DecodeError when it is none."""
    record = _decoders[kind].decode(value)
    assert isinstance(record, kind)
    return record
