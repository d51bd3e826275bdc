"""The Warning header field as PS3.18 writes it: `299 <service>: text`.

RFC 9111 has made the field obsolete and RFC 7234 wanted its text in quotes; PS3.18 (8.3.4.2 and the like) gives it
without, and user agents of DICOMweb compare that form, so it is ours. A text can never break out of its field: what is
not printable ASCII becomes "?", and its length is bounded. Several warnings are several fields.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from edged.http.fields import printable

MISCELLANEOUS: Final = 299
"""The code of a persistent warning without a more special code. Source: RFC 7234 5.5.7."""

MAX_TEXT: Final = 1000  # characters; proxies take at least 4 KiB for all fields
MAX_NAMES: Final = 20

_MAX_NAME: Final = 64
_SHOWN: Final = " !#$&'()*+-./:;<=>?@[]^_`{|}~"


def warning(service: str, text: str) -> str:
    """Return a field value; `service` is the Base URI of the service. Source: PS3.18 8.3.4.2."""
    return f"{MISCELLANEOUS} {printable(service.replace(' ', ''), MAX_TEXT)}: {printable(text, MAX_TEXT)}"


def unsupported_parameters(service: str, names: Sequence[str]) -> str:
    """Return the field value that says which query parameters were ignored. Source: PS3.18 8.3."""
    shown = [quote(name[:_MAX_NAME], safe=_SHOWN) for name in names[:MAX_NAMES]]
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return warning(
        service, f"The following query parameters are not supported and were ignored: {' '.join(shown)}{more}"
    )
