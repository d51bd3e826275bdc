"""What is known of an instance or a study, as values: in JSON between the daemon and its command, so they only grow.

Times are seconds since the epoch, sizes bytes, spans seconds; what is not known is null. A `reason` is a DICOM code
with its meaning. What a peer said in its own words stands here and nowhere else (`said`, without secrets).
"""

from msgspec import Struct

from edged.store.queue_walk import EntryState


class Moment(Struct, frozen=True, kw_only=True):
    """Something that happened to an instance: of the same thing `times` until `until`."""

    time: float
    what: str
    destination: str | None = None
    batch: str | None = None
    status: int | None = None
    reason: str | None = None
    text: str = ""
    times: int = 1
    until: float | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """An open storage commitment request of the box that names the instance."""

    transaction_uid: str
    created: float


class At(Struct, frozen=True, kw_only=True):
    """How far an instance is at one destination; `state` null: it has not begun there, which is so of a conflict.

    `evidence` is how it came to count as sent (stored, found), `proof` the kind of proof that committed it, by the
    storage commitment request `transaction_uid` if that was it. `decided` tells in words by what it was decided.
    """

    destination: str
    configured: bool
    required: bool
    state: EntryState | None
    committed: bool
    since: float | None = None
    urgent: bool = False
    evidence: str | None = None
    sent: float | None = None
    proof: str | None = None
    transaction_uid: str | None = None
    doubted_since: float | None = None
    reason: str | None = None
    text: str = ""
    decided: str = ""
    batch: str | None = None
    resends: int = 0
    asked: tuple[Asked, ...] = ()
    waits_for: str | None = None
    next_try_s: float | None = None


class Life(Struct, frozen=True, kw_only=True):
    """One instance that is stored here; `conflict` is its conflict id if it is one.

    `requests` are the Transaction UIDs of the storage commitment requests made of the box that wait for it.
    """

    number: int
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    standing: str
    conflict: str | None
    received: float
    intake: str
    sender: str | None
    address: str | None
    rule: str | None
    destinations: tuple[At, ...]
    requests: tuple[str, ...]
    may_go: bool


class Evicted(Struct, frozen=True, kw_only=True):
    """What is remembered of an instance that was let go: who had committed to it, by which kind of proof."""

    number: int
    sop_class_uid: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    evicted: float
    committed: float | None
    proofs: dict[str, str]
    lost: bool


class Explained(Struct, frozen=True, kw_only=True, tag_field="kind", tag="instance"):
    """All that is known under one SOP Instance UID or conflict id; `moments` are in the order of time.

    `untold` is how many more conflicts there are under the UID.
    """

    uid: str
    time: float
    instances: tuple[Life, ...]
    untold: int
    evicted: Evicted | None
    moments: tuple[Moment, ...]


class Standing(Struct, frozen=True, kw_only=True):
    """How many instances of a study are how far at one destination."""

    destination: str
    configured: bool
    committed: int
    sent: int
    pending: int
    on_hold: int
    stuck: int
    parked: int


class Uncommitted(Struct, frozen=True, kw_only=True):
    """An instance of a study at a destination that has not committed to it."""

    sop_instance_uid: str
    series_instance_uid: str
    at: At


class StudyExplained(Struct, frozen=True, kw_only=True, tag_field="kind", tag="study"):
    """A study or a series: how far its instances are, and a page of those that are not committed, what is worst first.

    `uncommitted_total` counts them all, an instance once for each destination; the page begins at `offset`.
    """

    uid: str
    time: float
    study_instance_uid: str
    series_instance_uid: str | None
    instances: int
    size_bytes: int
    first_received: float | None
    last_received: float | None
    destinations: tuple[Standing, ...]
    uncommitted_total: int
    offset: int
    uncommitted: tuple[Uncommitted, ...]


Explanation = Explained | StudyExplained
