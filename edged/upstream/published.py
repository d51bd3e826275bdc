"""The verdict tables as they are published in docs/forwarding.md: written by `tools/verdict-table`, compared by a test.

Each table stands below a heading of its own; everything else on the page is a person's.
"""

import re
from collections.abc import Iterable

from edged.upstream.commitment_verdicts import commitment_rows
from edged.upstream.verdict_values import Row
from edged.upstream.verdicts import rows

STORE_HEADING = "## Answers to a store request"
COMMITMENT_HEADING = "## Answers to a storage commitment request"
_TABLE = r"(?m)(^{heading}\n\n)(?:\|.*\n)*"


def table(entries: Iterable[Row]) -> str:
    """Return rows as a Markdown table."""
    lines = [f"| {row.condition} | {row.verdict} | {row.why} |\n" for row in entries]
    return "| Answer | Verdict | Why |\n|---|---|---|\n" + "".join(lines)


def page(text: str) -> str:
    """Return the page with both tables as the program has them; raises ValueError where a heading is missing."""
    for heading, entries in ((STORE_HEADING, rows()), (COMMITMENT_HEADING, commitment_rows())):
        pattern = _TABLE.format(heading=re.escape(heading))
        if not re.search(pattern, text):
            raise ValueError(f"the page has no heading {heading!r}")
        text = re.sub(pattern, lambda found, entries=entries: found[1] + table(entries), text)  # type: ignore[misc]
    return text
