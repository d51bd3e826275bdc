"""The verdict when no answer came: network, name, TLS, reset, time-out, a refused HTTP/2 stream.

A table of cases, read from the top; the first whose test holds rules. Nothing here is evidence about an instance
unless a single one breaks alike for the third time while others pass.

Invariants: total; never "sent", never "park". The version of HTTP changes no verdict: what may have arrived over
HTTP/2, where one broken connection takes many answers with it, is only looked for once before it is sent again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edged.upstream.verdict_reasons import doubt
from edged.upstream.verdict_values import (
    REPEATS,
    Break,
    ConditionName,
    Context,
    DestinationVerdict,
    History,
    Kind,
    Row,
    Ruling,
    Silence,
    Standing,
    Verdict,
)

BREAKS_ALIKE = 3  # breaks of a single instance at a like offset or time that make it doubtful
_ALIKE_SHARE = 0.05  # of the greater of two offsets or times
_ALIKE_BYTES = 65536  # what may still be in a socket's buffer when the connection breaks
_ALIKE_S = 1.0

_LOOKED_FOR = "over HTTP/2 looked for once, then sent again"
_BEFORE_THE_REQUEST = frozenset({"dns", "tcp", "tls", "auth"})


@dataclass(frozen=True, slots=True)
class SilentCase:
    """A lost request; history is the single instance's, or the batch's in sum."""

    silence: Silence
    single: bool
    history: History
    context: Context


@dataclass(frozen=True, slots=True)
class SilenceRow:
    """One row: when it holds, what it decides, and the words that are published."""

    condition: str
    verdict: str
    why: str
    holds: Callable[[SilentCase], bool]
    instance: Kind
    standing: Standing


def alike(one: Break, other: Break) -> bool:
    """Whether two transfers broke at a like offset or after a like time."""
    offsets = abs(one.sent_bytes - other.sent_bytes)
    times = abs(one.elapsed_s - other.elapsed_s)
    return offsets <= max(_ALIKE_BYTES, _ALIKE_SHARE * max(one.sent_bytes, other.sent_bytes)) or times <= max(
        _ALIKE_S, _ALIKE_SHARE * max(one.elapsed_s, other.elapsed_s)
    )


def _not_begun(case: SilentCase) -> bool:
    return case.silence.phase in _BEFORE_THE_REQUEST


def _refused_at_once(case: SilentCase) -> bool:
    return case.silence.not_processed and case.context.repeated < REPEATS


def _not_processed(case: SilentCase) -> bool:
    return case.silence.not_processed


def _breaks_alone(case: SilentCase) -> bool:
    return case.single and case.history.others_accepted and case.silence.sent_bytes > 0


def _breaks_alike(case: SilentCase) -> bool:
    now = Break(case.silence.sent_bytes, case.silence.elapsed_s)
    before = sum(alike(now, earlier) for earlier in case.history.breaks)
    return _breaks_alone(case) and before + 1 >= BREAKS_ALIKE


def _batch_again(case: SilentCase) -> bool:
    return not case.single and case.context.batch_failures > 0


def _always(_: SilentCase) -> bool:
    return True


SILENCE_ROWS = (
    SilenceRow(
        "no connection (dns, tcp, tls, auth)",
        "later; the breaker opens",
        "no request was made",
        _not_begun,
        Kind.PENDING,
        Standing.LATER,
    ),
    SilenceRow(
        "provably not processed (REFUSED_STREAM, above GOAWAY's stream)",
        "again at once, three times",
        "the peer says that it did not begin",
        _refused_at_once,
        Kind.AGAIN,
        Standing.OK,
    ),
    SilenceRow(
        "provably not processed, again and again",
        "later; the breaker opens",
        "the peer takes nothing now",
        _not_processed,
        Kind.PENDING,
        Standing.LATER,
    ),
    SilenceRow(
        "a single one breaks for the third time at a like offset or time while others pass",
        f"doubtful under too-big-or-too-slow; {_LOOKED_FOR}",
        "something on the way bounds it",
        _breaks_alike,
        Kind.DOUBTFUL,
        Standing.OK,
    ),
    SilenceRow(
        "a batch breaks that failed before",
        f"split to single ones, later; {_LOOKED_FOR}",
        "one of them may be the cause",
        _batch_again,
        Kind.SPLIT,
        Standing.LATER,
    ),
    SilenceRow(
        "a single one breaks while others pass",
        f"later, by its own back-off; {_LOOKED_FOR}",
        "one bad instance must not slow the others",
        _breaks_alone,
        Kind.LATER,
        Standing.OK,
    ),
    SilenceRow(
        "any other loss",
        f"later; the breaker opens; {_LOOKED_FOR}",
        "networks fail and come back",
        _always,
        Kind.PENDING,
        Standing.LATER,
    ),
)


def rule_silence(case: SilentCase) -> Ruling:
    """What a missing answer means for every instance of the batch (DICOM.md 4, last row)."""
    row = next(row for row in SILENCE_ROWS if row.holds(case))
    text = case.silence.summary
    verdict = Verdict(row.instance, text=text)
    if row.instance is Kind.DOUBTFUL:
        verdict = doubt(Verdict(Kind.DOUBTFUL, text=text, condition=ConditionName.TOO_BIG_OR_TOO_SLOW), case.history)
    return Ruling(
        replace(verdict, may_be_there=_may_be_there(case.silence)), DestinationVerdict(row.standing, text=text)
    )


def _may_be_there(silence: Silence) -> bool:
    return silence.http2 and silence.sent_bytes > 0 and not silence.not_processed


def silence_rows() -> list[Row]:
    """The rows for no answer, as published."""
    return [Row(row.condition, row.verdict, row.why) for row in SILENCE_ROWS]
