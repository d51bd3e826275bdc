"""The load: what the senders of one recording send, made from a seed alone, and sending it.

Small instances several to a request, large ones that spool, the same instance again, another data set under a UID that
is taken, uploads that break off, storage commitment requests. A sender writes an acknowledgement into the recording
when it has read the box's answer, and not before. Whoever checks a state makes the same instances from the same seed.
"""

import contextlib
import http.client
import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from tests.powercut.recording import Acknowledgements
from tests.support.commitment_kit import CLASS, INSTANCE, JSON, SOP, outcome, sq, ui
from tests.support.stow_kit import CT, MULTIPART, Named, json_report, made, multipart, named

SENDERS = 6
STUDIES = 12
WHOLE = (150, 16, 3)
"""How many small, middle and large instances the load of a recording has: about 50 MB."""

DUPLICATE_REASON = 0x0111
ANSWER_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Part:
    """One instance of the load."""

    name: Named
    data: bytes


def instances(seed: int, counts: tuple[int, int, int] = WHOLE) -> list[Part]:
    """Make all instances of a load, so many small, middle and large ones."""
    small, middle, large = counts
    rng = random.Random(f"load/{seed}")
    sizes = [rng.randrange(1000, 60_000) for _ in range(small)]
    sizes += [rng.randrange(100_000, 900_000) for _ in range(middle)]
    sizes += [rng.randrange(9 << 20, 14 << 20) for _ in range(large)]
    rng.shuffle(sizes)
    parts = []
    for number, size in enumerate(sizes, 1):
        name = named(number, f"1.2.826.0.1.{seed}.{rng.randrange(STUDIES)}")
        parts.append(Part(name, made(name, size=size // 2, fill=rng.randbytes(2))))
    return parts


class Senders:
    """Sends parts of a load to the box at `url` and writes down what it answered."""

    def __init__(self, url: str, acknowledgements: Acknowledgements) -> None:
        self._address = urlsplit(url).netloc
        self._acknowledgements = acknowledgements

    def send(self, parts: Sequence[Part], rng: random.Random) -> None:
        """Send parts as requests of several senders at once, with all that goes wrong in between."""
        jobs = [partial(self.store, group) for group in _groups(parts, rng)]
        jobs += [partial(self.store, [part]) for part in rng.sample(parts, 8)]
        jobs += [partial(self.break_off, part) for part in rng.sample(parts, 4)]
        jobs += [partial(self.break_off, part) for part in parts if len(part.data) > (9 << 20)]
        rng.shuffle(jobs)
        with ThreadPoolExecutor(SENDERS) as pool:
            for done in [pool.submit(job) for job in jobs]:
                done.result()

    def store(self, parts: Sequence[Part]) -> None:
        """Store some instances in one request; each that the box says it has is acknowledged."""
        answer = self._exchange("POST", "/studies", multipart(part.data for part in parts), {"Content-Type": MULTIPART})
        for uid in json_report(answer).stored:
            self._acknowledgements.add({"stored": uid})

    def store_another(self, part: Part) -> None:
        """Store another data set under the UID of one that is there; it must be refused."""
        other = made(part.name, size=len(part.data), patient=b"OTHER")
        report = json_report(self._exchange("POST", "/studies", multipart([other]), {"Content-Type": MULTIPART}))
        if report.failed != {part.name.instance: DUPLICATE_REASON}:
            raise AssertionError(f"another data set was not refused: {report}")

    def ask_commitment(self, transaction_uid: str, parts: Sequence[Part]) -> None:
        """Make a storage commitment request."""
        references = [ui(CLASS, CT) | ui(INSTANCE, part.name.instance) for part in parts]
        body = json.dumps(sq(SOP, *references)).encode()
        answer = self._exchange("POST", f"/commitment-requests/{transaction_uid}", body, JSON)
        self._acknowledgements.add({"requested": transaction_uid, "result": outcome(answer) if answer else None})

    def check_commitment(self, transaction_uid: str) -> bool:
        """Ask for the result of a request; return whether it stands."""
        answer = self._exchange("GET", f"/commitment-requests/{transaction_uid}", b"", JSON)
        self._acknowledgements.add({"requested": transaction_uid, "result": outcome(answer) if answer else None})
        return bool(answer)

    def break_off(self, part: Part) -> None:
        """Begin to store an instance under a UID of its own, and close the connection before its end."""
        name = Named(part.name.instance + ".9", part.name.series, part.name.study)
        body = multipart([made(name, size=len(part.data))])
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_WITHIN_S)
        with contextlib.closing(connection):
            connection.putrequest("POST", "/studies")
            connection.putheader("Content-Type", MULTIPART)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            connection.send(body[: len(body) * 19 // 20])

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_WITHIN_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Accept": "application/dicom+json", **headers})
            response = connection.getresponse()
            if response.status not in {200, 202, 409}:
                raise AssertionError(f"{method} {path}: {response.status} {response.read()[:500]!r}")
            return response.read()


def _groups(parts: Sequence[Part], rng: random.Random) -> list[list[Part]]:
    """Cut a list of parts into requests of one to nine."""
    groups, at = [], 0
    while at < len(parts):
        size = rng.randrange(1, 10)
        groups.append(list(parts[at : at + size]))
        at += size
    return groups
