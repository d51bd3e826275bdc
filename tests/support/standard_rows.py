"""Rows of the Standard's tables, each with its proof: a request made here, a test elsewhere, or why it is not ours.

What may live here: the three kinds, and how a request is made and compared. Nothing of which rows there are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.support.asgi_kit import LOOPBACK, Answer, Application, Asked, call

ROOT = Path(__file__).parents[2]

Fields = Mapping[str, str]

NO_FIELDS: Final[Fields] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request and what its answer is: the status, header fields by regular expressions, and what its body holds.

    A field that is expected to be "" is not there.
    """

    method: str = "GET"
    path: str
    fields: Fields = field(default_factory=dict)
    body: bytes = b""
    client: tuple[str, int] = LOOPBACK
    status: int
    has: Fields = field(default_factory=dict)
    holds: tuple[bytes, ...] = ()

    async def problems(self, application: Application) -> list[str]:
        """Make the request and tell what is not as expected."""
        asked = Asked(self.method, self.path, self.fields, self.body, client=self.client)
        return self._differences(await call(application, asked))

    def _differences(self, answer: Answer) -> list[str]:
        found = [f"{name}: {answer.headers.get(name, '')}" for name in self.has if not self._is(answer, name)]
        found += [f"no {each!r} in the body" for each in self.holds if each not in answer.body]
        if answer.status != self.status:
            found.insert(0, f"{answer.status} instead of {self.status}: {answer.body[:300]!r}")
        return [f"{self.method} {self.path} {dict(self.fields)}: {each}" for each in found]

    def _is(self, answer: Answer, name: str) -> bool:
        return re.fullmatch(self.has[name], answer.headers.get(name, "")) is not None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The row is proven by another test, `file::function` below tests/."""

    test: str

    @property
    def exists(self) -> bool:
        """Whether there is such a test."""
        name, _, function = self.test.partition("::")
        path = ROOT / "tests" / name
        return path.exists() and re.search(rf"(?m)^(async )?def {function}\(", path.read_text()) is not None


@dataclass(frozen=True, slots=True)
class NotOurs:
    """The row asks nothing of this origin server; `why` is a sentence."""

    why: str


Proof = Ask | Elsewhere | NotOurs
Rows = Mapping[str, tuple[Proof, ...]]
