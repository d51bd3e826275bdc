"""Settings of the ways out that have more than one key: credentials, proxies, pins, secret headers, routing rules.

Some of them are not available yet, so the sections are read and judged directly and not from a file.
"""

from pathlib import Path

import pytest
from msgspec import structs

from edged.config import Auth, AuthKind, Destination, DestinationTLS, Proxy, Route, Settings, Store, When
from edged.config.checks import contradictions
from edged.config.credentials import missing_files
from edged.config.rules import attribute_patterns, destination_names, patterns
from edged.config.values import fingerprints, header_names, notifications, share

_ARCHIVE = Destination(name="archive", url="https://archive.example")
_FILE = Path("/nowhere")


def _problems(*destinations: Destination, routes: tuple[Route, ...] = ()) -> list[str]:
    return contradictions(Settings(destinations=destinations, routes=routes), frozenset())


@pytest.mark.parametrize(
    ("auth", "problems"),
    [
        (Auth(kind=AuthKind.OAUTH2, token_url="https://t", client_id="c", client_secret_file=_FILE, scope="s"), []),
        (Auth(kind=AuthKind.OAUTH2, client_id="c", client_secret_file=_FILE), ["token_url: must be given with"]),
        (
            Auth(kind=AuthKind.OAUTH2, token_url="http://t", client_id="c", client_secret_file=_FILE),
            ["token_url: must be"],
        ),
        (Auth(kind=AuthKind.JWT, token_url="https://t", issuer="i", key_file=_FILE, subject="s", key_id="1"), []),
        (Auth(kind=AuthKind.JWT, token_url="https://t", key_file=_FILE), ["issuer: must be given with"]),
        (Auth(kind=AuthKind.JWT, issuer="i", key_file=_FILE), ["token_url: must be given with"]),
        (Auth(kind=AuthKind.JWT, token_url="https://t", client_id="c", key_file=_FILE), []),
        (Auth(kind=AuthKind.JWT, scope="s", key_file=Path("/nowhere/account.json")), []),
        (Auth(kind=AuthKind.JWT, issuer="i", token_url="https://t"), ["key_file: must be given with"]),
        (Auth(kind=AuthKind.BEARER, token_file=_FILE, scope="s"), ["scope: has no meaning with"]),
        (Auth(kind=AuthKind.MTLS), ['kind: "mtls" needs the certificate']),
    ],
)
def test_credentials(auth: Auth, problems: list[str]) -> None:
    found = _problems(structs.replace(_ARCHIVE, auth=auth))
    assert len(found) == len(problems)
    for said, problem in zip(found, problems, strict=True):
        assert said.startswith(f"destination[archive].auth.{problem}")


def test_a_certificate_is_a_credential() -> None:
    tls = DestinationTLS(certificate=_FILE, private_key=_FILE)
    assert _problems(structs.replace(_ARCHIVE, auth=Auth(kind=AuthKind.MTLS), tls=tls)) == []


def test_half_a_proxy() -> None:
    (problem,) = _problems(structs.replace(_ARCHIVE, proxy=Proxy(url="http://p", username="u")))
    assert "username: belongs together with password_file" in problem
    (problem,) = _problems(structs.replace(_ARCHIVE, proxy=Proxy(url="https://p")))
    assert "a proxy is spoken to in plain HTTP" in problem
    (problem,) = _problems(structs.replace(_ARCHIVE, proxy=Proxy(username="u", password_file=_FILE)))
    assert "url: must be given" in problem


def test_a_pin_is_for_tls() -> None:
    (problem,) = _problems(Destination(name="a", url="http://h", tls=DestinationTLS(pin=("0" * 64,))))
    assert "pin: has no meaning" in problem
    assert fingerprints("AB:" * 31 + "AB") == ("ab" * 32,)
    assert fingerprints(["0" * 64, "1" * 64]) == ("0" * 64, "1" * 64)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        fingerprints(["x"])


def test_secret_header_fields() -> None:
    archive = structs.replace(_ARCHIVE, headers=(("x-site", "n"),), header_files=(("x-site", _FILE), ("x-key", _FILE)))
    assert _problems(archive) == ["destination[archive].header_files: x-site is given more than once"]
    assert missing_files(Settings(destinations=(archive,))) == [
        f"destination[archive].header_files.{name}: {_FILE} is not a readable file" for name in ("x-site", "x-key")
    ]
    assert header_names({"X-Key": "file"}) == ("x-key",)
    for wrong in ("x", {"Authorization": "f"}, {"Proxy-Authorization": "f"}, {"a b": "f"}):
        with pytest.raises(ValueError, match=r"write|written by edged|not a header field"):
            header_names(wrong)


def test_rules_name_destinations_that_there_are() -> None:
    good, twice, unknown = Route(name="ct", to=("archive",)), Route(name="ct"), Route(name="mr", to=("moved",))
    assert _problems(_ARCHIVE, routes=(good, twice, unknown)) == [
        "route[ct]: the name is used more than once",
        "route[mr].to: there is no [[destination]] moved",
    ]
    assert Route(name="all").to is None
    assert When().attribute == {}


@pytest.mark.parametrize("value", ["", [], [""], [5], None, "\n", "x" * 257, {}])
def test_what_no_rule_can_look_for(value: object) -> None:
    with pytest.raises(ValueError, match="write a text"):
        patterns(value)


def test_what_a_rule_can_look_for() -> None:
    assert patterns("CT") == ("CT",)
    assert patterns(["C?", "MR*"]) == ("C?", "MR*")
    assert attribute_patterns({"RequestedProcedurePriority": "STAT"}) == {"RequestedProcedurePriority": ("STAT",)}
    wrong: object
    for wrong in ("x", {"00401003": "STAT"}, {"Station": []}):
        with pytest.raises(ValueError, match="write a"):
            attribute_patterns(wrong)
    assert destination_names([]) == ()
    for names in ("archive", ["A"], ["a", "a"]):
        with pytest.raises(ValueError, match="write"):
            destination_names(names)


@pytest.mark.parametrize("value", [True, -0.1, 1.5, "1", None])
def test_a_share_is_part_of_one(value: object) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        share(value)
    assert share(1) == 1.0
    assert Store().reconcile < 1


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("auto", "auto"),
        ("off", "off"),
        ("wss://archive.example/events/", "https://archive.example/events"),
        ("http://archive.example:8042", "http://archive.example:8042"),
    ],
)
def test_where_events_come_from(written: str, read: str) -> None:
    assert notifications(written) == read


@pytest.mark.parametrize("written", ["on", "", True, "ws://a:b@archive.example", ["auto"]])
def test_where_events_cannot_come_from(written: object) -> None:
    with pytest.raises(ValueError, match=r"write|belong"):
        notifications(written)
