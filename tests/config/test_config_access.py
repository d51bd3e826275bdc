"""Settings about who gets in: passwords, certificates, proxies, origins; and that no problem shows a secret."""

import contextlib
import hashlib
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config import ConfigError, PasswordHash, Proxies, contradictions_of_descriptors, parse, remarks
from edged.config.networks import host_names, origins, proxies

LINE = "$scrypt$ln=14,r=8,p=5$MDEyMzQ1Njc4OWFiY2RlZg$+8isX3RcxaPVeVHHYk/+cmspiiGWly2mrzm5yTc2T+c"
TLS = '[origin]\nbind = ["https://192.0.2.1:443"]\ncertificate = "/c.pem"\nprivate_key = "/k.pem"\n'
CA = TLS + 'client_ca = "/ca.pem"\n'
OPTIONAL = CA + 'client_certificate = "optional"\n'
PASSWORD = f'[[access.password]]\nname = "u"\nscrypt = "{LINE}"\nroles = ["store"]\n'
CERTIFICATE = '[[access.certificate]]\nname = "c"\nsubject = "ct.example"\nroles = ["store"]\n'
TOKEN = f'[[access.token]]\nname = "t"\nsha256 = "{"0" * 64}"\nroles = ["store"]\n'
EXEMPT = '[access]\nplain_off_loopback = ["origin"]\n'
PLAIN = '[origin]\nbind = ["http://192.0.2.1:80"]\n'


def problems(text: str) -> list[str]:
    try:
        parse(text, {})
    except ConfigError as error:
        return error.problems
    return []


def test_everything_about_access() -> None:
    settings = parse(
        OPTIONAL
        + 'trusted_proxies = ["192.0.2.5", "unix", "2001:db8::/32"]\ncors = ["https://Viewer.example:8443", "*"]\n'
        + '[access]\naudit = false\naudit_size = "1MiB"\naudit_patient = true\n'
        + TOKEN
        + PASSWORD
        + CERTIFICATE
        + f'[[access.certificate]]\nname = "d"\nsha256 = "{"AB:" * 31}AB"\nroles = ["read"]\n',
        {},
    )
    networks = (ip_network("192.0.2.5/32"), ip_network("2001:db8::/32"))
    assert settings.origin.trusted_proxies == Proxies(networks, unix=True)
    assert settings.origin.cors == ("https://viewer.example:8443", "*")
    assert settings.access.audit_size_bytes == 1 << 20
    assert [each.sha256 for each in settings.access.certificates] == [None, "ab" * 32]
    assert str(settings.access.passwords[0].scrypt) == LINE


@pytest.mark.parametrize("credential", [TOKEN, PASSWORD, CERTIFICATE])
def test_a_credential_of_any_kind_will_do_off_loopback(credential: str) -> None:
    assert problems(OPTIONAL + credential) == []


def test_off_loopback_a_certificate_that_nobody_must_show_is_no_authentication() -> None:
    (problem,) = problems(OPTIONAL)
    assert "without authentication" in problem
    assert problems(CA) == []


def test_naming_anonymous_roles_is_an_exemption_from_authentication_but_not_for_the_box_itself() -> None:
    assert problems(TLS + '[access]\nanonymous = ["store"]\n') == []
    (problem,) = problems(TLS + "[access]\nanonymous = []\n")
    assert "without authentication" in problem
    admin = '[access]\nanonymous = ["read", "admin"]\n'
    (problem,) = problems(TLS + admin + TOKEN)
    assert problem.startswith("access.anonymous: would make everybody who can reach https://192.0.2.1:443 an admin")
    assert problems(TLS + admin + 'plain_off_loopback = ["origin"]\n' + TOKEN) == []
    assert problems(admin) == []


def test_what_is_allowed_but_remarkable() -> None:
    assert remarks(parse(TLS + TOKEN, {})) == []
    (remark,) = remarks(parse(TLS + '[access]\nanonymous = ["store", "read"]\n', {}))
    assert remark == "access.anonymous: whoever can reach https://192.0.2.1:443 may store, read without a credential"
    assert remarks(parse('[access]\nanonymous = ["admin"]\n', {})) == []
    dear = PASSWORD.replace('"u"', '"v"').replace("p=5", "p=6")
    (remark,) = remarks(parse(TLS + PASSWORD + dear, {}))
    assert remark.startswith("access.password[u]: cheaper to check than others")
    (remark,) = remarks(parse('[[route]]\nname = "ct"\nto = []\n', {}))
    assert remark.startswith("route[ct].to: what it takes goes to no destination")


@pytest.mark.parametrize(
    ("base_path", "base_url", "count"),
    [
        ("/dicom-web", "https://pacs.example/", 1),
        ("/dicom-web", "https://pacs.example/box", 0),
        ("/", "https://pacs.example", 0),
        ("/dicom-web", "", 0),
    ],
)
def test_a_public_url_without_a_path(base_path: str, base_url: str, count: int) -> None:
    found = remarks(parse(f'[origin]\nbase_path = "{base_path}"\nbase_url = "{base_url}"\n', {}))
    assert len(found) == count
    for remark in found:
        assert remark.startswith("origin.base_url: URLs in answers lack origin.base_path;")
        assert remark.endswith(" write https://pacs.example/dicom-web")


def test_names_of_the_box() -> None:
    assert parse('[origin]\nnames = ["Box.example", "ct-7"]', {}).origin.names == ("box.example", "ct-7")


def test_a_password_does_not_replace_tls() -> None:
    useless, problem = sorted(problems(PLAIN + PASSWORD))
    assert "without TLS" in problem
    assert useless == "access.password: passwords are taken over TLS or on this machine only, and no listener is either"
    assert problems(PLAIN + EXEMPT + PASSWORD) == [useless]
    for bind in ("http://127.0.0.1:1", "unix:/s", "fd://3"):
        assert problems(f'[origin]\nbind = ["http://192.0.2.1:80", "{bind}"]\n' + EXEMPT + PASSWORD) == []
    settings = parse('[origin]\nbind = ["fd://3"]\n' + EXEMPT + PASSWORD, {})
    assert contradictions_of_descriptors(settings, {"fd://3": "http://127.0.0.1:1"}) == []
    found = contradictions_of_descriptors(settings, {"fd://3": "http://192.0.2.1:80"})
    assert found == [f"{useless} (fd://3 is http://192.0.2.1:80)"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TLS + 'client_certificate = "optional"\n' + TOKEN, "origin.client_certificate: has no meaning without"),
        (TLS + CERTIFICATE, "access.certificate: no client is asked for its certificate without origin.client_ca"),
        (CA + CERTIFICATE + f'sha256 = "{"0" * 64}"\n', "access.certificate[c]: give one of sha256 and subject"),
        (CA + CERTIFICATE.replace('subject = "ct.example"\n', ""), "access.certificate[c]: give one of sha256 and"),
        (CA + CERTIFICATE + CERTIFICATE.replace('"c"', '"d"'), "access.certificate: ct.example stands there more"),
        (TLS + PASSWORD + TOKEN.replace('"t"', '"u"'), "access.password[u]: the name is used more than once"),
        (CA + CERTIFICATE + TOKEN.replace('"t"', '"c"'), "access.certificate[c]: the name is used more than once"),
        (TLS + PASSWORD + PASSWORD, "access.password[u]: the name is used more than once"),
        ('[access]\naudit_size = "1kB"', 'access.audit_size = "1kB": write at least 64KiB'),
        ('[origin]\nclient_certificate = "no"', 'origin.client_certificate = "no": write "required" | "optional"'),
        ('[origin]\ntrusted_proxies = "192.0.2.1"', "origin.trusted_proxies"),
        ('[origin]\ntrusted_proxies = ["proxy.example"]', "origin.trusted_proxies"),
        ('[origin]\ntrusted_proxies = ["192.0.2.1/24"]', "origin.trusted_proxies"),
        ('[origin]\ntrusted_proxies = ["0.0.0.0/0"]', "origin.trusted_proxies"),
        ('[origin]\ncors = ["viewer.example"]', "origin.cors"),
        ('[origin]\nnames = ["https://box.example"]', "origin.names"),
        ('[origin]\nnames = ["box.example:8080"]', "origin.names"),
        ('[origin]\nnames = ["*"]', "origin.names"),
        (
            TLS + TOKEN.replace('"t"', '"anonymous"'),
            'access.token[anonymous].name = "anonymous": "anonymous" is what the',
        ),
        (TLS + PASSWORD.replace('"u"', '"anonymous"') + TOKEN, 'access.password[anonymous].name = "anonymous"'),
        ('[origin]\ncors = ["https://viewer.example/"]', "origin.cors"),
        ('[origin]\ncors = ["https://viewer.example:443"]', "origin.cors"),
        ('[origin]\ncors = ["null"]', "origin.cors"),
        ("[origin]\ncors = [1]", "origin.cors"),
    ],
)
def test_what_is_said(text: str, problem: str) -> None:
    assert [each[: len(problem)] for each in problems(text)] == [problem]


@pytest.mark.parametrize(
    "text",
    [
        '[[access.password]]\nname = "u"\nscrypt = "MySecret1"\nroles = ["store"]\n',
        '[[access.token]]\nname = "u"\nsha256 = "MySecret1"\nroles = ["store"]\n',
        '[[destination]]\nname = "a"\nurl = "https://user:MySecret1@archive.example"\n',
    ],
)
def test_no_problem_shows_a_secret(text: str) -> None:
    (problem,) = problems(text)
    assert "MySecret1" not in problem


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sesame",
        LINE + "=",
        LINE.replace("scrypt", "argon2id"),
        LINE.replace("ln=14", "ln=10"),
        LINE.replace("ln=14", "ln=20"),
        LINE.replace("p=5", "p=0"),
        LINE.replace("p=5", "p=99"),
        LINE.replace("r=8", "r=0"),
        LINE.replace("r=8", "r=99"),
        LINE.replace("MDEyMzQ1Njc4OWFiY2RlZg", "short"),
        LINE[:-30],
    ],
)
def test_lines_that_are_no_password(line: str) -> None:
    with pytest.raises(ValueError, match="edged token --password"):
        PasswordHash.parse(line)


def test_a_password_is_hashed_as_rfc_7914_says() -> None:
    """The digest is that of the standard library for the same costs, and of the same text in another composition."""
    hashed = PasswordHash.of("Schlüssel", b"salt of 16 bytes", parallel=1)
    again = hashlib.scrypt("Schlüssel".encode(), salt=b"salt of 16 bytes", n=16384, r=8, p=1, maxmem=1 << 26, dklen=32)
    assert hashed.digest == again
    assert PasswordHash.parse(str(hashed)) == hashed
    assert hashed.matches("Schlu\u0308ssel")
    assert not hashed.matches("schlüssel")
    assert "digest" not in repr(hashed)
    assert "salt" not in repr(hashed)


@given(st.one_of(st.none(), st.integers(), st.text(max_size=99), st.lists(st.one_of(st.integers(), st.text()))))
def test_any_value_is_read_or_refused(value: object) -> None:
    for reader in (PasswordHash.parse, proxies, origins, host_names):
        with contextlib.suppress(ValueError):
            reader(value)


@given(st.from_regex(r"\$scrypt\$ln=[0-9]+,r=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+", fullmatch=True))
def test_any_line_is_read_within_bounds_or_refused(line: str) -> None:
    try:
        hashed = PasswordHash.parse(line)
    except ValueError:
        return
    assert 128 * hashed.block << hashed.log2_cost <= 64 << 20
