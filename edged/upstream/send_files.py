"""The STOW-RS user agent over files: what `edged send` does (PS3.18 10.5).

One task looks at the files and makes batches, `parallel` others send them. What an answer means is decided by the
verdict table that the forwarder uses, with a person's patience in place of a daemon's: what is transient is tried
`retries` times more, what needs proof or other settings is told as it is. A file counts as stored only if a Store
Instances Response names it so.

Invariants: every file is told of exactly once, but for those that a Stop left out; memory does not grow with files.
"""

import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, cast

import trio

from edged.dicom.reasons import FailureReason, reason_text
from edged.upstream.connection import Client
from edged.upstream.file_form import Batcher, FileFault, FileForm, halves, read_form
from edged.upstream.file_walk import Found
from edged.upstream.heard import answer_of, silence_of
from edged.upstream.message import Body, NoAnswer
from edged.upstream.retry import Backoff, Pace
from edged.upstream.send_values import FileResult, Outcome, SendSettings, Stop, Watcher
from edged.upstream.stow import ACCEPTED, Form, other_accept, store_body, store_request
from edged.upstream.verdict_values import (
    HELD,
    REPEATS,
    Answer,
    ConditionName,
    Context,
    Decision,
    DestinationVerdict,
    History,
    Kind,
    Silence,
    Standing,
    Verdict,
)
from edged.upstream.verdicts import decide

PATIENCE_S = 120.0
"""The longest Retry-After that somebody at a terminal is made to wait for."""
PACE = Pace(base_s=0.5, cap_s=10.0, least=0.5)

T = TypeVar("T")

_AT_ONCE = frozenset({Standing.OTHER_ACCEPT, Standing.NEW_CONNECTION, Standing.FOLLOW})
_UNSAID = frozenset({Kind.VERIFY, Kind.VERIFY_LATER})
_OF_INSTANCES = frozenset({ConditionName.REFUSES_ALL, ConditionName.CANNOT_PROVE})


@dataclass(frozen=True, slots=True)
class Trial:
    """Files to send in one request, and how often they were tried in vain."""

    forms: tuple[FileForm, ...]
    tries: int = 0
    retry_after_s: float | None = None
    why: str = ""


class FileSender:
    """Sends files to one archive."""

    def __init__(self, client: Client, settings: SendSettings, watcher: Watcher) -> None:
        self._client = client
        self._settings = settings
        self._watcher = watcher
        self._target = f"{client.endpoint.base_path}/studies"
        self._accept = ACCEPTED[0]
        self._accepted = False
        self._status: int | None = None
        self._stop: Stop | None = None
        self._scope = trio.CancelScope()

    async def send(self, found: Iterable[Found]) -> Stop | None:
        """Send the files; returns why the rest of them was left out, or None when all were told of."""
        batches, waiting = trio.open_memory_channel[tuple[FileForm, ...]](0)
        with self._scope:
            async with trio.open_nursery() as nursery, waiting:
                nursery.start_soon(self._gather, iter(found), batches)
                for _ in range(self._settings.parallel):
                    nursery.start_soon(self._work, waiting.clone())
        return self._stop

    # Looking at the files

    async def _gather(self, found: Iterator[Found], batches: trio.MemorySendChannel[tuple[FileForm, ...]]) -> None:
        batcher = Batcher(max_files=self._settings.batch_files, max_bytes=self._settings.batch_bytes)
        async with batches:
            while (each := await _in_thread(partial(next, found, None))) is not None:
                form = await self._look(each)
                if form is not None and (ended := batcher.add(form)):
                    await batches.send(ended)
            if rest := batcher.take():
                await batches.send(rest)

    async def _look(self, found: Found) -> FileForm | None:
        try:
            if found.fault:
                raise FileFault(found.path, found.fault)
            return await _in_thread(partial(read_form, found.path))
        except FileFault as fault:
            foreign = fault.reason is FailureReason.NOT_A_DICOM_FILE and not found.named
            outcome = Outcome.SKIPPED if foreign else Outcome.UNREADABLE
            self._watcher.told(FileResult(found.path, outcome, found.size, reason=fault.reason, text=fault.text))
            return None

    # Sending

    async def _work(self, waiting: trio.MemoryReceiveChannel[tuple[FileForm, ...]]) -> None:
        async with waiting:
            async for forms in waiting:
                trials = [Trial(forms)]
                while trials:
                    trials += await self._try(trials.pop())

    async def _try(self, trial: Trial) -> list[Trial]:
        """Send one request; returns what is to be tried again."""
        await self._pause(trial)
        try:
            heard, decision = await self._ask(trial)
        except FileFault as fault:
            return self._without(trial, fault)
        return self._sort(trial, heard, decision)

    async def _pause(self, trial: Trial) -> None:
        if not trial.tries:
            return
        jitter = random.random()  # noqa: S311 - jitter
        earlier = Backoff(PACE, failures=trial.tries - 1)
        now = trio.current_time()
        pause_s = earlier.failed(now, retry_after_s=trial.retry_after_s, random01=jitter).due_s - now
        self._watcher.paused(pause_s, trial.why)
        await trio.sleep(pause_s)

    async def _ask(self, trial: Trial) -> tuple[Answer | Silence, Decision]:
        uids = tuple(form.sop_instance_uid for form in trial.forms)
        history = History(others_accepted=self._accepted)
        context = Context(
            histories=dict.fromkeys(uids, history),
            batch_failures=trial.tries,
        )
        while True:
            heard = await self._exchange(trial.forms)
            decision = decide(heard, uids, replace(context, url=self._client.endpoint.url(self._target)))
            verdict = decision.destination
            if verdict.standing not in _AT_ONCE or context.repeated >= REPEATS:
                return heard, decision
            self._target = verdict.location or self._target
            if verdict.standing is Standing.OTHER_ACCEPT:
                self._accept = other_accept(self._accept)
                context = replace(context, tried_other_accept=True)
            context = replace(context, repeated=context.repeated + 1)

    async def _exchange(self, forms: tuple[FileForm, ...]) -> Answer | Silence:
        # A StoreBody asks of a form no more than its length and its pieces.
        payload = store_body(cast("tuple[Form, ...]", forms))
        request = store_request(payload, target=self._target, accept=self._accept)
        body = _Watched(payload, self._watcher)
        began = trio.current_time()
        try:
            response = await self._client.request(
                replace(request, headers=request.headers + self._settings.headers, body=body)
            )
        except NoAnswer as error:
            return silence_of(error, trio.current_time() - began)
        finally:
            self._watcher.moved(-body.given)
        self._status = response.status
        return answer_of(response, time.time())

    # What came of it

    def _sort(self, trial: Trial, heard: Answer | Silence, decision: Decision) -> list[Trial]:
        """Tell what is decided; returns what is to be tried again: together, in halves or one by one."""
        verdict = decision.destination
        waits = verdict.standing is Standing.LATER
        patient = trial.tries < self._settings.retries and (verdict.retry_after_s or 0.0) <= PATIENCE_S
        apart: dict[Kind, list[FileForm]] = {Kind.AGAIN: [], Kind.HALVE: [], Kind.SPLIT: []}
        told: list[FileForm] = []
        steps = {uid: _next_step(each, waits=waits) for uid, each in decision.instances.items()}
        for form in trial.forms:
            step = steps[form.sop_instance_uid]
            again = step in apart and (patient or not (waits or step is Kind.AGAIN))
            (apart[step] if again else told).append(form)
        in_vain = waits and not patient and not apart.keys().isdisjoint(steps.values())
        if in_vain or (verdict.standing in HELD and verdict.condition not in _OF_INSTANCES):
            self._end(replace(verdict, text=_in_full(verdict.text, heard)))
        for form in told:
            self._tell(form, heard, decision.instances[form.sop_instance_uid])
        groups = [tuple(apart[Kind.AGAIN]), *halves(apart[Kind.HALVE]), *((form,) for form in apart[Kind.SPLIT])]
        tried = trial.tries + (waits or bool(apart[Kind.AGAIN]))
        why = verdict.text or next((each.text for each in decision.instances.values() if each.text), "")
        return [Trial(group, tried, verdict.retry_after_s, why) for group in groups if group]

    def _tell(self, form: FileForm, heard: Answer | Silence, verdict: Verdict) -> None:
        in_doubt = isinstance(heard, Silence) and heard.sent_bytes > 0
        if self._stop and verdict.kind is Kind.PENDING and not in_doubt:
            return  # the archive took nothing of it: it belongs to the rest, which the stop explains
        if verdict.kind is Kind.SENT:
            self._accepted = True
            outcome, reason, text = Outcome.STORED, verdict.warning, ""
        else:
            unsaid = isinstance(heard, Silence) or (verdict.reason is None and verdict.kind in _UNSAID)
            outcome = Outcome.UNPROVEN if unsaid else Outcome.REFUSED
            reason, text = verdict.reason, _in_full(verdict.text, heard)
        if reason is not None:
            text = reason_text(reason)
        self._watcher.told(FileResult(form.path, outcome, form.scan.length, form.sop_instance_uid, reason, text))

    def _without(self, trial: Trial, fault: FileFault) -> list[Trial]:
        bad = next(form for form in trial.forms if form.path == fault.path)
        self._watcher.told(
            FileResult(bad.path, Outcome.UNREADABLE, bad.scan.length, bad.sop_instance_uid, text=fault.text)
        )
        rest = tuple(form for form in trial.forms if form is not bad)
        return [replace(trial, forms=rest, tries=0)] if rest else []

    def _end(self, verdict: DestinationVerdict) -> None:
        """Leave out the rest: nothing will be taken now."""
        text = verdict.text
        if (verdict.retry_after_s or 0.0) > PATIENCE_S:
            text = f"{text}; it asks to come back in {verdict.retry_after_s:.0f} s"
        self._stop = self._stop or Stop(text, self._status is not None, self._status, verdict.hint)
        self._scope.cancel()


class _Watched:
    """A body whose pieces are counted as they are asked for."""

    def __init__(self, body: Body, watcher: Watcher) -> None:
        self._body = body
        self._watcher = watcher
        self.given = 0

    @property
    def length(self) -> int:
        return self._body.length

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        async with aclosing(self._body.pieces()) as pieces:
            async for piece in pieces:
                self.given += len(piece)
                self._watcher.moved(len(piece))
                yield piece


def _in_full(text: str, heard: Answer | Silence) -> str:
    """What is decided, and what the archive said in its own words: whoever sends by hand may read them."""
    return f"{text}: {heard.said}" if heard.said else text


def _next_step(verdict: Verdict, *, waits: bool) -> Kind:
    """AGAIN, HALVE or SPLIT where another request may help within somebody's patience; else the verdict's own kind."""
    if verdict.kind is Kind.LATER:
        return Kind.AGAIN
    if waits and verdict.reason is None and verdict.kind in {Kind.PENDING, Kind.VERIFY}:
        return Kind.AGAIN
    return verdict.kind


async def _in_thread(work: Callable[[], T]) -> T:
    """Do what waits for a disk without holding up the others; left to itself when cancelled, since it only reads."""
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
