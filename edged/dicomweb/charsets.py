"""Character sets by the two names that PS3.18 gives them: IANA's, and the Defined Terms of Specific Character Set.

Everything that edged writes is UTF-8; the table lets a user agent ask for it, or for another one that a rendered text
may one day be offered in, by either name.
"""

from collections.abc import Mapping
from typing import Final

UTF_8: Final = "utf-8"

SUPPORTED: Final = (UTF_8,)
"""What answers are written in, the default first (PS3.18 8.7.3.5.3, 8.8.5)."""

DEFINED_TERMS: Final[Mapping[str, str]] = {
    "ISO_IR 100": "ISO-8859-1",
    "ISO_IR 101": "ISO-8859-2",
    "ISO_IR 109": "ISO-8859-3",
    "ISO_IR 110": "ISO-8859-4",
    "ISO_IR 144": "ISO-8859-5",
    "ISO_IR 127": "ISO-8859-6",
    "ISO_IR 126": "ISO-8859-7",
    "ISO_IR 138": "ISO-8859-8",
    "ISO_IR 148": "ISO-8859-9",
    "ISO_IR 203": "ISO-8859-15",
    "ISO_IR 166": "TIS-620",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ISO-2022-JP",
    "ISO 2022 IR 6\\ISO 2022 IR 149": "ISO-2022-KR",
    "ISO 2022 IR 6\\ISO 2022 IR 58": "ISO-2022-CN",
    "GB18030": "GB18030",
    "GBK": "GBK",
    "ISO_IR 192": "UTF-8",
}
"""IANA's preferred name of each Defined Term. Source: PS3.18 Table D-1."""

ALIASES: Final[Mapping[str, str]] = {
    **{term.lower(): name for term, name in DEFINED_TERMS.items()},
    "utf8": UTF_8,
}
"""Other names, in lower case, of IANA's."""
