"""The Store request of a batch (PS3.18 10.5): a body of known length that streams from the store."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, nullcontext
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from edged.http.multipart_writer import PART_TAIL, MultipartWriter
from edged.store.records import Instance
from edged.upstream.message import Request

ACCEPTED = ("application/dicom+json", "application/dicom+xml")
"""The forms of a Store Instances Response, the usual one first (PS3.18 10.5.3)."""

EARLY_BYTES = 3 << 19
"""About what one read brings: with so much still to leave, the next read begins."""
EARLY_FORMS = 32
"""The most that one read brings."""

_PART_HEAD = (("Content-Type", "application/dicom"),)


class Form(Protocol):
    """One instance as it leaves."""

    @property
    def number(self) -> int:
        """The instance number."""

    @property
    def instance(self) -> Instance:
        """What is stored; not what leaves, where that is another form of it."""

    @property
    def length(self) -> int:
        """Bytes that `pieces` gives in all."""

    def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the bytes from the start, again for each try; raises InstanceGone."""


Early = Callable[[Sequence[Form]], AbstractContextManager[object]]


def nothing_early(_: Sequence[Form]) -> AbstractContextManager[object]:
    """Begin nothing before it is asked for."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class StoreBody:
    """Instances as one multipart/related payload; `length` in bytes.

    `early` begins to read instances that leave next: those that one read brings, while others before them leave.
    """

    forms: Sequence[Form]
    writer: MultipartWriter
    length: int
    early: Early = nothing_early

    def ends(self) -> Iterator[tuple[str, int]]:
        """Yield for each instance how many bytes of the payload have left when all of it has."""
        head, end = len(self.writer.head(_PART_HEAD)), 0
        for form in self.forms:
            end += head + form.length
            yield form.instance.sop_instance_uid, end
            end += len(PART_TAIL)

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the payload from its start; raises InstanceGone."""
        head = self.writer.head(_PART_HEAD)
        before = head
        with _Beginning(self.forms, self.early) as beginning:
            for form in self.forms:
                yield before
                async with aclosing(form.pieces()) as pieces:
                    async for piece in pieces:
                        beginning.left(len(piece))
                        yield piece
                before = PART_TAIL + head
        yield (PART_TAIL if self.forms else b"") + self.writer.closing


class _Beginning:
    """Begins to read what leaves next, as soon as little of what is being read is still to leave."""

    def __init__(self, forms: Sequence[Form], early: Early) -> None:
        self._runs = _runs(forms)
        self._early = early
        self._begun = ExitStack()
        self._to_leave = 0
        self._latest = 0

    def __enter__(self) -> "_Beginning":
        self.left(0)
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.close()

    def left(self, size: int) -> None:
        """Note that so many bytes leave."""
        self._to_leave -= size
        while self._to_leave <= min(self._latest, EARLY_BYTES) and (run := next(self._runs, None)) is not None:
            self._begun.enter_context(self._early(run))
            self._latest = sum(form.length for form in run)
            self._to_leave += self._latest


def _runs(forms: Iterable[Form]) -> Iterator[list[Form]]:
    """Part forms into runs of which one read brings the beginnings: small ones together, a large one alone."""
    run: list[Form] = []
    size = 0
    for form in forms:
        if len(run) == EARLY_FORMS or (run and size + form.length > EARLY_BYTES):
            yield run
            run, size = [], 0
        run.append(form)
        size += form.length
    if run:
        yield run


def other_accept(accept: str) -> str:
    """The form of answer to ask for where the one that was asked for is refused."""
    return ACCEPTED[accept == ACCEPTED[0]]


def store_body(forms: Sequence[Form], *, early: Early = nothing_early) -> StoreBody:
    """Make the payload of a request, with a boundary of its own; `early` as in StoreBody."""
    writer = MultipartWriter(f"edged-{uuid4().hex}")
    head = len(writer.head(_PART_HEAD))
    return StoreBody(forms, writer, writer.content_length((head, form.length) for form in forms), early)


def store_request(body: StoreBody, *, target: str, accept: str) -> Request:
    """Make the request: the media type quoted, the part's bare, one Accept (DICOM.md §4 "Sent")."""
    content_type = f'multipart/related; type="application/dicom"; boundary={body.writer.boundary}'
    return Request("POST", target, (("content-type", content_type), ("accept", accept)), body)
