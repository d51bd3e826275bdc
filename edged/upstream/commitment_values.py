"""The values of the commitment tables: what was asked and answered, what is known, what comes next.

Only frozen values and closed sets of names live here; commitment_verdicts decides. The Transaction UID itself is
not among them: it is durable in the store before the first POST, and the tables only say when it changes.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from edged.upstream.verdict_values import ConditionName, summary


class Asked(StrEnum):
    """Which transaction was answered: the request or the result check."""

    REQUEST = "POST"
    RESULT_CHECK = "GET"


class Next(StrEnum):
    """The next step of a commitment transaction; `Step.paced` ones wait for the transaction's back-off."""

    RESULT = "result"  # Step.instances holds the verdicts; the transaction is over
    REQUEST = "request"  # POST under the same Transaction UID
    CHECK = "check"  # GET under the same Transaction UID
    NEW_UID = "new-uid"  # POST under a new Transaction UID
    REFORM = "reform"  # the same under the same Transaction UID in another form
    SMALLER = "smaller"  # the same in two requests, each under a new Transaction UID
    NOT_OFFERED = "not-offered"  # believed until the service is probed again


class Commitment(StrEnum):
    """The verdict on one instance of a commitment result."""

    COMMITTED = "committed"
    PENDING = "pending"  # not named: asked again under a new Transaction UID
    RESEND = "resend"  # not there: visibility first (DICOM.md 5), then sent again
    LATER = "later"  # asked again later under a new Transaction UID
    NEW_UID = "new-uid"  # asked again under a new Transaction UID: at once, and later if that is said again
    PARK = "park"


class TransactionState(StrEnum):
    """POSTING: the outcome of the request is not known; WAITING: the destination accepted it."""

    POSTING = "posting"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """A well-formed Storage Commitment Response by SOP Instance UID (PS3.18 J.2)."""

    committed: AbstractSet[str] = frozenset()
    failed: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommitmentAnswer:
    """A final HTTP answer to either transaction; text is the peer's own words, for an instance's history only."""

    status: int
    report: CommitmentReport | None = None
    retry_after_s: float | None = None
    text: str = ""

    @property
    def summary(self) -> str:
        """The answer in one line, in no words of the peer's."""
        return summary(self.status)


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came; not_processed when the request provably was not acted upon."""

    not_processed: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is known of a transaction when an answer comes.

    `requests` counts its POSTs, this one included; `forms` those in which it was not made yet; `refusals` the times in
    a row, before this one, that its result check was refused.
    """

    instances: Sequence[str]
    state: TransactionState = TransactionState.POSTING
    requests: int = 1
    new_uids: int = 0  # times in a row that these instances needed a new Transaction UID
    forms: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class CommitmentVerdict:
    """The verdict on one instance, with the Failure Reason that was given."""

    kind: Commitment
    reason: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next; after_s is a Retry-After, paced means that the back-off decides as well."""

    next: Next
    state: TransactionState = TransactionState.POSTING
    paced: bool = True
    after_s: float | None = None
    condition: ConditionName | None = None
    text: str = ""
    instances: Mapping[str, CommitmentVerdict] = field(default_factory=dict)
