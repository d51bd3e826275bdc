"""What single values cannot tell: settings that contradict each other.

A check is a function from the settings to its problems; it stands in `_CHECKS` with the sections that
it draws conclusions from, and is passed over when one of those could not be read, because a problem
that is only the consequence of another helps nobody.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from msgspec import structs

from edged.config.binds import Scheme, parse_bind
from edged.config.choices import AuthKind, ClientCertificate, Duplicate, Evidence, Exemption, Role
from edged.config.settings import Auth, Destination, Settings


def contradictions(settings: Settings, unclean: frozenset[str]) -> list[str]:
    """Return every problem between settings, one line each, leaving out what rests on an unclean section."""
    return [problem for sections, check in _CHECKS if not unclean.intersection(sections) for problem in check(settings)]


def contradictions_of_descriptors(settings: Settings, urls: Mapping[str, str]) -> list[str]:
    """Return the problems of inherited descriptors: each of `urls` is judged as if its URL stood in its place.

    `settings` are without contradictions as far as they tell; a descriptor on a Unix socket has no URL.
    """
    bind = tuple(urls.get(each, each) for each in settings.origin.bind)
    real = structs.replace(settings, origin=structs.replace(settings.origin, bind=bind))
    which = ", ".join(f"{written} is {url}" for written, url in urls.items())
    return [f"{problem} ({which})" for problem in contradictions(real, frozenset())]


def _certificate(settings: Settings) -> Iterator[str]:
    origin = settings.origin
    speaks_tls = any(parse_bind(bind).scheme is Scheme.HTTPS for bind in origin.bind)
    if (origin.certificate is None) != (origin.private_key is None):
        yield "origin: certificate and private_key belong together; one of them is missing"
    elif speaks_tls and origin.certificate is None:
        yield "origin.bind: an https listener needs origin.certificate and origin.private_key"
    if origin.client_ca is not None and not speaks_tls:
        yield "origin.client_ca: asks for client certificates, but no listener in origin.bind is https"
    if origin.client_ca is None and origin.client_certificate is not ClientCertificate.REQUIRED:
        yield "origin.client_certificate: has no meaning without origin.client_ca"


def _credentials_can_be_used(settings: Settings) -> Iterator[str]:
    origin, access = settings.origin, settings.access
    if access.certificates and origin.client_ca is None:
        yield "access.certificate: no client is asked for its certificate without origin.client_ca"
    for certificate in access.certificates:
        if (certificate.sha256 is None) == (certificate.subject is None):
            yield f"access.certificate[{certificate.name}]: give one of sha256 and subject"
    if access.passwords and not any(_keeps_secrets(bind) for bind in origin.bind):
        yield "access.password: passwords are taken over TLS or on this machine only, and no listener is either"


def _keeps_secrets(bind: str) -> bool:
    """Whether nobody can listen on the way to this listener; what a descriptor is, is not known here."""
    parsed = parse_bind(bind)
    return parsed.scheme is not Scheme.HTTP or not parsed.off_loopback


def _nobody_gets_in_by_default(settings: Settings) -> Iterator[str]:
    """Promise 9: off loopback, TLS and authentication, unless the operator names the exemption.

    Naming anonymous roles is one from authentication, for these roles, but nobody gives himself the box with it.
    """
    if Exemption.ORIGIN in settings.access.plain_off_loopback:
        return
    remedy = 'or name the exemption: access.plain_off_loopback = ["origin"]'
    for written in settings.origin.bind:
        bind = parse_bind(written)
        if not bind.off_loopback:
            continue
        if bind.scheme is not Scheme.HTTPS:
            yield f"origin.bind: {written} can be reached from other machines without TLS; use https, {remedy}"
        if not _somebody_is_known(settings):
            yield (
                f"origin.bind: {written} can be reached from other machines without authentication; "
                f"add an [[access.token]], an [[access.password]] or origin.client_ca, {remedy}"
            )
        if Role.ADMIN in (settings.access.anonymous or ()):
            yield (
                f"access.anonymous: would make everybody who can reach {written} an administrator; "
                f'take "admin" out of it, {remedy}'
            )


def _somebody_is_known(settings: Settings) -> bool:
    """Whether there is a credential, nobody can connect without a certificate, or it was said what all may do."""
    access, origin = settings.access, settings.origin
    shown = origin.client_ca is not None and origin.client_certificate is ClientCertificate.REQUIRED
    return bool(access.tokens or access.passwords or access.certificates or shown or access.anonymous)


def _credentials_differ(settings: Settings) -> Iterator[str]:
    access = settings.access
    tokens = access.tokens
    credentials = [("token", each.name) for each in tokens]
    credentials += [("password", each.name) for each in access.passwords]
    credentials += [("certificate", each.name) for each in access.certificates]
    for repeated in _repeated(name for _, name in credentials):
        kind = [kind for kind, name in credentials if name == repeated][-1]
        yield f"access.{kind}[{repeated}]: the name is used more than once"
    for shown in _repeated(each.sha256 or each.subject or "" for each in access.certificates):
        yield f"access.certificate: {shown} stands there more than once"
    for digest in _repeated(token.sha256 for token in tokens):
        names = ", ".join(token.name for token in tokens if token.sha256 == digest)
        yield f"access.token: {names} are the same token"


def _destinations(settings: Settings) -> Iterator[str]:
    for name in _repeated(destination.name for destination in settings.destinations):
        yield f"destination[{name}]: the name is used more than once"
    for destination in settings.destinations:
        place = f"destination[{destination.name}]"
        yield from (f"{place}.auth.{problem}" for problem in _auth(destination))
        yield from (f"{place}.tls.{problem}" for problem in _tls(destination))
        yield from (f"{place}.proxy.{problem}" for problem in _proxy(destination))
        yield from (f"{place}.{problem}" for problem in _header_files(destination))


def _no_word_is_taken_back(settings: Settings) -> Iterator[str]:
    """A box that commits by its own word must not replace what it has committed to (DESIGN §1.5)."""
    if settings.store.duplicate is Duplicate.REPLACE and settings.commitment.evidence is Evidence.LOCAL:
        yield 'store.duplicate: "replace" would break what commitment.evidence = "local" promises; use "keep-both"'


SERVICE_ACCOUNT_SUFFIX = ".json"
_NEEDED: Mapping[AuthKind, frozenset[str]] = MappingProxyType(
    {
        AuthKind.NONE: frozenset(),
        AuthKind.BASIC: frozenset({"username", "password_file"}),
        AuthKind.BEARER: frozenset({"token_file"}),
        AuthKind.OAUTH2: frozenset({"token_url", "client_id", "client_secret_file"}),
        AuthKind.JWT: frozenset({"key_file"}),
        AuthKind.MTLS: frozenset(),
    }
)
_USEFUL: Mapping[AuthKind, frozenset[str]] = MappingProxyType(
    {
        AuthKind.OAUTH2: frozenset({"scope", "audience", "resource"}),
        AuthKind.JWT: frozenset(
            {
                *("token_url", "issuer", "scope", "audience", "resource"),
                *("client_id", "subject", "key_id", "algorithm"),
            }
        ),
    }
)


def _auth(destination: Destination) -> Iterator[str]:
    auth = destination.auth
    needed, useful = _NEEDED[auth.kind], _USEFUL.get(auth.kind, frozenset())
    for key in (field for field in auth.__struct_fields__ if field != "kind"):
        value = getattr(auth, key)
        if key in needed and value is None:
            yield f'{key}: must be given with kind = "{auth.kind}"'
        if key not in needed | useful and value is not None:
            yield f'{key}: has no meaning with kind = "{auth.kind}"'
    yield from (f'{key}: must be given with kind = "{auth.kind}"' for key in _unsaid(auth))
    if auth.token_url is not None and not _keeps_to_itself(auth.token_url):
        yield "token_url: must be https; nobody may read what is told there"
    if auth.kind is AuthKind.MTLS and destination.tls.certificate is None:
        yield 'kind: "mtls" needs the certificate of [destination.tls]'


def _unsaid(auth: Auth) -> Iterator[str]:
    """What "jwt" needs unless a service account's key file (JSON) says it; a client is its own issuer."""
    if auth.kind is not AuthKind.JWT or auth.key_file is None or auth.key_file.suffix == SERVICE_ACCOUNT_SUFFIX:
        return
    if auth.token_url is None:
        yield "token_url"
    if auth.issuer is None and auth.client_id is None:
        yield "issuer"


def _keeps_to_itself(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in {"127.0.0.1", "::1", "localhost"}


def _proxy(destination: Destination) -> Iterator[str]:
    proxy = destination.proxy
    if proxy.url is None and (proxy.username is not None or proxy.password_file is not None):
        yield "url: must be given with a username or a password_file"
    if proxy.url is not None and not proxy.url.startswith("http://"):
        yield 'url: a proxy is spoken to in plain HTTP, write "http://host:port"; TLS goes through it unseen'
    if (proxy.username is None) != (proxy.password_file is None):
        yield "username: belongs together with password_file; one of them is missing"


def _header_files(destination: Destination) -> Iterator[str]:
    names = [name for name, _ in (*destination.headers, *destination.header_files)]
    for name in _repeated(names):
        yield f"header_files: {name} is given more than once"


def _routes(settings: Settings) -> Iterator[str]:
    known = {destination.name for destination in settings.destinations}
    for name in _repeated(route.name for route in settings.routes):
        yield f"route[{name}]: the name is used more than once"
    for route in settings.routes:
        for name in sorted(set(route.to or ()) - known):
            yield f"route[{route.name}].to: there is no [[destination]] {name}"


def _tls(destination: Destination) -> Iterator[str]:
    tls = destination.tls
    given = [name for name in ("ca", "certificate", "private_key", "pin") if getattr(tls, name)]
    if given and destination.url.startswith("http:"):
        yield f"{given[0]}: has no meaning for {destination.url}, which is not https"
    elif (tls.certificate is None) != (tls.private_key is None):
        yield "certificate: belongs together with private_key; one of them is missing"


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


_CHECKS: tuple[tuple[frozenset[str], Callable[[Settings], Iterator[str]]], ...] = (
    (frozenset({"origin"}), _certificate),
    (frozenset({"origin", "access"}), _nobody_gets_in_by_default),
    (frozenset({"origin", "access"}), _credentials_can_be_used),
    (frozenset({"access"}), _credentials_differ),
    (frozenset({"store", "commitment"}), _no_word_is_taken_back),
    (frozenset(), _destinations),
    (frozenset({"destination"}), _routes),
)
