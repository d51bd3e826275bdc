"""The verdict table cell by cell: every published row has its cases, and no case is without a row."""

from dataclasses import dataclass, replace

import pytest

from edged.upstream.verdict_values import (
    Answer,
    Break,
    ConditionName,
    Context,
    History,
    Kind,
    Report,
    Silence,
    Standing,
)
from edged.upstream.verdicts import decide, rows

ONE = ("1.2.1",)
TWO = ("1.2.1", "1.2.2")
NEW = Context()
OTHERS_PASS = Context({"1.2.1": History(others_accepted=True)})
BASE = Context(url="https://archive.example:8443/dicom-web/studies")


@dataclass(frozen=True, slots=True)
class Cell:
    heard: Answer | Silence
    kind: Kind
    standing: Standing = Standing.OK
    batch: tuple[str, ...] = ONE
    context: Context = NEW
    condition: ConditionName | None = None  # of the destination


def failed(reason: int | None, status: int = 409) -> Answer:
    return Answer(status, report=Report(failed={"1.2.1": reason}))


def lost(**facts: object) -> Silence:
    return Silence("http", **facts)  # type: ignore[arg-type]


def doubts(count: int) -> Context:
    return Context({"1.2.1": History(others_accepted=True, doubtful=count)})


def breaks(*offsets: int) -> Context:
    history = History(others_accepted=True, breaks=tuple(Break(offset, offset / 1e6) for offset in offsets))
    return Context({"1.2.1": history})


def held(status: int, condition: ConditionName = ConditionName.MISCONFIGURED) -> list[Cell]:
    return [
        Cell(Answer(status), Kind.PENDING, Standing.HOLD, condition=condition),
        Cell(Answer(status), Kind.PENDING, Standing.HOLD, TWO, OTHERS_PASS, condition),
    ]


def split_or_parked(status: int) -> list[Cell]:
    return [
        Cell(Answer(status), Kind.SPLIT, batch=TWO),
        Cell(Answer(status), Kind.PENDING, Standing.HOLD, condition=ConditionName.REFUSES_ALL),
        Cell(Answer(status), Kind.PARK, context=OTHERS_PASS),
    ]


def transient(status: int, several: Kind) -> list[Cell]:
    return [
        Cell(Answer(status), Kind.PENDING, Standing.LATER),
        Cell(Answer(status), several, Standing.LATER, TWO, Context(batch_failures=1)),
        Cell(Answer(status), Kind.DOUBTFUL, context=OTHERS_PASS),
        Cell(Answer(status), Kind.STUCK, context=doubts(4)),
        Cell(Answer(status, retry_after_s=9), Kind.PENDING, Standing.LATER, context=OTHERS_PASS),
    ]


TRANSCODING = Context(may_transcode=True)
TRANSCODED = Context({"1.2.1": History(True, transcoded=True)}, may_transcode=True)
STORED = Report({"1.2.1": None})

UNSENT = frozenset({"1.2.1"})

CELLS: dict[str, list[Cell]] = {
    "in Referenced SOP Sequence before its last byte had left": [
        Cell(Answer(200, report=STORED), Kind.DOUBTFUL, Standing.LATER, context=Context(unsent=UNSENT)),
        Cell(Answer(200, report=STORED), Kind.DOUBTFUL, context=replace(OTHERS_PASS, unsent=UNSENT)),
        Cell(Answer(200, report=STORED), Kind.STUCK, context=replace(doubts(4), unsent=UNSENT)),
    ],
    "in Referenced SOP Sequence": [
        Cell(Answer(200, report=Report({"1.2.1": None})), Kind.SENT),
        Cell(Answer(202, report=Report({"1.2.1": 0xB000})), Kind.SENT),
        Cell(Answer(500, report=Report({"1.2.1": 0x1234})), Kind.SENT),
    ],
    "A700H to A70FH": [
        Cell(failed(code), Kind.LATER, standing, context=context)
        for code in (0xA700, 0xA70F)
        for context, standing in ((Context(), Standing.LATER), (OTHERS_PASS, Standing.OK))
    ],
    "A710H to A7FFH": [
        Cell(failed(0xA710), Kind.DOUBTFUL, Standing.LATER),
        Cell(failed(0xA7FF), Kind.DOUBTFUL, context=OTHERS_PASS),
    ],
    "0110H": [
        Cell(failed(0x0110), Kind.DOUBTFUL, Standing.LATER),
        Cell(failed(0x0110), Kind.DOUBTFUL, context=doubts(3)),
        Cell(failed(0x0110), Kind.STUCK, context=doubts(4)),
        Cell(failed(0x0110), Kind.DOUBTFUL, Standing.LATER, context=Context({"1.2.1": History(doubtful=9)})),
    ],
    "no reason, or none that is a code": [
        Cell(failed(code), Kind.DOUBTFUL, Standing.LATER) for code in (None, 0, -1, 0x10000)
    ],
    "0213H": [Cell(failed(0x0213), Kind.LATER, Standing.LATER)],
    "0111H": [Cell(failed(0x0111), Kind.VERIFY)],
    "B00EH": [Cell(failed(45070), Kind.VERIFY)],
    "B00FH": [Cell(failed(45071), Kind.VERIFY_LATER)],
    "B000H to BFFFH": [Cell(failed(code), Kind.VERIFY) for code in (0xB000, 0xB006, 0xB007, 0xBFFF)],
    "C122H": [
        Cell(failed(0xC122), Kind.PARK),
        Cell(failed(0xC122), Kind.TRANSCODE, context=TRANSCODING),
        Cell(failed(0xC122), Kind.PARK, context=TRANSCODED),
    ],
    "0122H": [Cell(failed(0x0122), Kind.PARK)],
    "0124H": [Cell(failed(0x0124), Kind.PARK)],
    "A900H to A9FFH": [Cell(failed(code), Kind.PARK) for code in (0xA900, 0xA9FF)],
    "C000H to CFFFH": [Cell(failed(code), Kind.PARK) for code in (0xC000, 0xCFFF)],
    "any other code": [Cell(failed(code), Kind.PARK) for code in (1, 0xAA00, 0xD000, 0xFFFF)],
    "2xx": [Cell(Answer(status), Kind.VERIFY, batch=batch) for status in (200, 202, 204, 299) for batch in (ONE, TWO)],
    "400, 409": [*split_or_parked(400), *split_or_parked(409)],
    "415": [*split_or_parked(415), Cell(Answer(415), Kind.TRANSCODE, context=TRANSCODING)],
    "501": split_or_parked(501),
    "413": [Cell(Answer(413), Kind.HALVE, batch=TWO), *split_or_parked(413)[1:]],
    "401": [Cell(Answer(401), Kind.PENDING, Standing.AUTH_FAULT, condition=ConditionName.AUTH_FAULT)],
    "403, 404, 410": [
        cell
        for status in (403, 404, 410)
        for cell in (
            Cell(Answer(status), Kind.PENDING, Standing.PROBE_OTHER, TWO, condition=ConditionName.REFUSED),
            Cell(Answer(status), Kind.PENDING, Standing.PROBE_OTHER, condition=ConditionName.REFUSED),
            Cell(Answer(status), Kind.SPLIT, batch=TWO, context=OTHERS_PASS),
            Cell(Answer(status), Kind.DOUBTFUL, context=OTHERS_PASS),
            Cell(Answer(status), Kind.STUCK, context=doubts(4)),
            Cell(
                Answer(status),
                Kind.DOUBTFUL,
                Standing.PROBE_OTHER,
                context=Context(search_passed=True),
                condition=ConditionName.REFUSED,
            ),
        )
    ],
    "407": [Cell(Answer(407), Kind.PENDING, Standing.PROXY_AUTH_FAULT, condition=ConditionName.PROXY_AUTH_FAULT)],
    "406": [
        Cell(Answer(406), Kind.PENDING, Standing.OTHER_ACCEPT),
        Cell(
            Answer(406),
            Kind.PENDING,
            Standing.HOLD,
            context=Context(tried_other_accept=True),
            condition=ConditionName.MISCONFIGURED,
        ),
    ],
    "301, 302, 303": [cell for status in (301, 302, 303) for cell in held(status, ConditionName.MOVED)],
    "307, 308": [
        *(Cell(Answer(s, location="/x"), Kind.PENDING, Standing.FOLLOW, TWO, BASE) for s in (307, 308)),
        *held(307, ConditionName.MOVED),
        *held(308, ConditionName.MOVED),
    ],
    **{str(status): held(status) for status in (405, 411, 412, 414, 417, 422, 426, 431, 505)},
    "421": [
        Cell(Answer(421), Kind.PENDING, Standing.NEW_CONNECTION),
        Cell(Answer(421), Kind.PENDING, Standing.LATER, context=Context(repeated=3)),
    ],
    "429, 503": [
        Cell(Answer(status), Kind.PENDING, Standing.LATER, batch, context)
        for status in (429, 503)
        for batch in (ONE, TWO)
        for context in (Context(batch_failures=7), OTHERS_PASS)
    ],
    "408, 504, 524": [cell for status in (408, 504, 524) for cell in transient(status, Kind.HALVE)],
    "424, other 5xx": [
        *(cell for status in (424, 500, 502, 507, 511, 599) for cell in transient(status, Kind.SPLIT)),
        Cell(Answer(500), Kind.PENDING, Standing.LATER, TWO),
    ],
    "any other status": [
        cell
        for status in (100, 300, 304, 402, 418, 451, 600, 999)
        for cell in held(status, ConditionName.UNEXPECTED_ANSWER)
    ],
    "no connection (dns, tcp, tls, auth)": [
        Cell(Silence(phase, not_processed=True, http2=True), Kind.PENDING, Standing.LATER, batch, OTHERS_PASS)
        for phase in ("dns", "tcp", "tls", "auth")
        for batch in (ONE, TWO)
    ],
    "provably not processed (REFUSED_STREAM, above GOAWAY's stream)": [
        Cell(lost(not_processed=True, http2=True, sent_bytes=9), Kind.AGAIN)
    ],
    "provably not processed, again and again": [
        Cell(lost(not_processed=True), Kind.PENDING, Standing.LATER, context=Context(repeated=3))
    ],
    "a single one breaks for the third time at a like offset or time while others pass": [
        Cell(lost(sent_bytes=10**8, elapsed_s=5.0), Kind.DOUBTFUL, context=breaks(10**8 + 9, 10**8 - 9)),
        Cell(lost(sent_bytes=5, elapsed_s=100.0), Kind.DOUBTFUL, context=breaks(99 * 10**6, 101 * 10**6)),
    ],
    "a batch breaks that failed before": [
        Cell(lost(http2=True, sent_bytes=9), Kind.SPLIT, Standing.LATER, TWO, Context(batch_failures=1))
    ],
    "a single one breaks while others pass": [
        Cell(lost(sent_bytes=10**8, elapsed_s=50.0, http2=http2), Kind.LATER, context=breaks(10**8, 10**6))
        for http2 in (False, True)
    ],
    "any other loss": [
        Cell(lost(sent_bytes=9), Kind.PENDING, Standing.LATER),
        Cell(lost(sent_bytes=9), Kind.PENDING, Standing.LATER, TWO),
        Cell(lost(), Kind.PENDING, Standing.LATER, context=OTHERS_PASS),
        Cell(lost(sent_bytes=9, http2=True), Kind.PENDING, Standing.LATER),
        Cell(lost(sent_bytes=9, http2=True), Kind.PENDING, Standing.LATER, TWO),
    ],
}


def test_every_published_row_has_its_cases_and_no_other() -> None:
    assert sorted(CELLS) == sorted(row.condition for row in rows())
    assert all(cells for cells in CELLS.values())


def test_every_published_row_says_what_and_why() -> None:
    assert all(row.verdict and row.why for row in rows())


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, id=f"{condition} #{number}")
        for condition, cells in CELLS.items()
        for number, cell in enumerate(cells, 1)
    ],
)
def test_cell(cell: Cell) -> None:
    decision = decide(cell.heard, cell.batch, cell.context)
    assert {uid: verdict.kind for uid, verdict in decision.instances.items()} == dict.fromkeys(cell.batch, cell.kind)
    assert decision.destination.standing is cell.standing
    assert decision.destination.condition is cell.condition
    assert (decision.destination.hint != "") is (cell.condition is not None)
