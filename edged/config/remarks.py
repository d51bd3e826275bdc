"""What is allowed in the settings, but hardly meant: told by `edged check-config`, and in the log at the start.

What may live here: functions from the settings to remarks, one line each. What contradicts itself is not a remark but a
problem (`checks`), with which nothing starts.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from edged.config.binds import parse_bind
from edged.config.settings import Settings


def remarks(settings: Settings) -> list[str]:
    """Return every remark on settings that can be used."""
    return [*_anonymous(settings), *_paths(settings), *_costs(settings), *_nowhere(settings)]


def _anonymous(settings: Settings) -> Iterator[str]:
    roles = settings.access.anonymous
    reachable = [bind for bind in settings.origin.bind if parse_bind(bind).off_loopback]
    if roles and reachable:
        yield f"access.anonymous: whoever can reach {', '.join(reachable)} may {', '.join(roles)} without a credential"


def _paths(settings: Settings) -> Iterator[str]:
    """Right is this only with a proxy that adds the path."""
    origin = settings.origin
    if origin.base_url and not urlsplit(origin.base_url).path and origin.base_path != "/":
        told = f"URLs in answers lack origin.base_path; if no proxy adds it, write {origin.base_url}{origin.base_path}"
        yield f"origin.base_url: {told}"


def _costs(settings: Settings) -> Iterator[str]:
    """A password that is cheaper to check than others tells by its time that there is such a user."""
    passwords = settings.access.passwords
    if len({each.scrypt.cost for each in passwords}) > 1:
        cheap = min(passwords, key=lambda each: each.scrypt.cost).name
        yield f"access.password[{cheap}]: cheaper to check than others; make it anew with `edged token --password`"


def _nowhere(settings: Settings) -> Iterator[str]:
    """An empty list is allowed, for what is only to be kept, and easily left over from an edit."""
    for each in settings.routes:
        if each.to == ():
            yield f"route[{each.name}].to: what it takes goes to no destination, and stays here until a person acts"
