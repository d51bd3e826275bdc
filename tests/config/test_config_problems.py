"""What is said about a configuration that is wrong: each problem, all at once, with its place and remedy."""

import pytest

from edged.config import ConfigError, contradictions_of_descriptors, parse
from edged.config.unavailable import ROWS

_DESTINATION = '[[destination]]\nname = "archive"\nurl = "https://archive.example/dicom-web"\n'
_TOKEN = f'[[access.token]]\nname = "t"\nsha256 = "{"0" * 64}"\nroles = ["store"]\n'
_TLS = 'certificate = "/c.pem"\nprivate_key = "/k.pem"\n'


def _problems(text: str) -> list[str]:
    try:
        parse(text, {})
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[box]\nnmae = 1", "box.nmae: unknown key; the nearest in [box] is name"),
        ("[stor]\n", "stor: unknown key; the nearest in the file is store"),
        (
            _DESTINATION + "auth.pasword_file = 1",
            "destination[archive].auth.pasword_file: unknown key; the nearest in [destination.auth] is password_file",
        ),
        ("store = 5", "store = 5: write a section [store]"),
        ("destination = {}", "destination = {}: write a section [[destination]]"),
        ("destination = [5]", "destination[#1] = 5: write a section [destination]"),
        ("[store]\nremember = true", "store.remember = true: write a whole number from 0 to 100000000"),
        ('[store]\ncapacity = "8MiB"', 'store.capacity = "8MiB": write at least 256MiB'),
        (
            '[store]\nkeep_committed = "7 fortnights"',
            'store.keep_committed = "7 fortnights": write "7d", "15m", "2s", "250ms" or a number of seconds',
        ),
        ('[box]\nclock = "never"', 'box.clock = "never": write "auto" | "trust"'),
        ('[box]\nname = ""', 'box.name = "": write a text of 1 to 256 visible ASCII characters'),
        (
            '[box]\nae_title = "a\\\\b"',
            'box.ae_title = "a\\\\b": write 1 to 16 visible ASCII characters without a backslash',
        ),
        ("[box]\ndata_dir = 1", "box.data_dir = 1: write a path"),
        (
            '[origin]\nbase_path = "dicom"',
            'origin.base_path = "dicom": write "/" or a path such as "/dicom-web"',
        ),
        *(
            (
                f'[origin]\nbase_path = "{path}"',
                f'origin.base_path = "{path}": write "/" or a path such as "/dicom-web"',
            )
            for path in ("/.", "/..", "/a/./b", "/a/../b/", "/a/%62", "/a//b")
        ),
        (
            "[origin]\ncertificate = 1",
            "origin.certificate = 1: write a path, or the name of a systemd credential",
        ),
        ('[access]\nanonymous = ["read", "read"]', 'access.anonymous = ["read", "read"]: write each word once'),
        (
            '[access]\nanonymous = ["root"]',
            'access.anonymous = ["root"]: write a list of "store" | "read" | "admin" | "monitor"',
        ),
        ('[[destination]]\nurl = "http://h"', "destination[#1].name: must be given"),
        ('[[destination]]\nname = "a"', "destination[a].url: must be given"),
        (
            '[[destination]]\nname = "A b"\nurl = "http://h"',
            'destination[A b].name = "A b": write 1 to 64 of a-z, 0-9 and -',
        ),
        (
            _DESTINATION + "commitment = []",
            'destination[archive].commitment = []: write at least one of "dicomweb" | "dimse" | "search" | "stored"',
        ),
        (_DESTINATION + 'required = "yes"', 'destination[archive].required = "yes": write true or false'),
        (
            _DESTINATION + 'headers = {Host = "h"}',
            'destination[archive].headers = {"Host": "h"}: \'Host\' is written by edged itself',
        ),
        (
            _DESTINATION + 'headers = {X = "a\\nb"}',
            'destination[archive].headers = {"X": "a\\nb"}: \'X\' is not a header field of visible ASCII characters',
        ),
        (
            _DESTINATION + 'reasons = {A710 = "sent"}',
            'destination[archive].reasons = {"A710": "sent"}: write "later" | "doubtful" | "verify" | ',
        ),
        (
            _DESTINATION + 'reasons = {A710 = "park", 42768 = "park"}',
            'destination[archive].reasons = {"A710": "park", "42768": "park"}: write each reason once',
        ),
        (
            _DESTINATION + 'reasons = {99999 = "park"}',
            'destination[archive].reasons = {"99999": "park"}: \'99999\' is not a failure reason such as ',
        ),
        ("[access]\n[[access.token]]\nname = 't'\nsha256 = 'x'\nroles = []", "access.token[t].sha256"),
    ],
)
def test_what_is_said_of_a_value(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in _problems(text)), _problems(text)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://h", "begins with http:// or https://"),
        ("http://", "begins with http:// or https://"),
        ("http://h:99999", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://u:p@h", "belong into auth"),
        ("http://h/?a=b", "without a query"),
        ("http://h/ x", "write a URL"),
    ],
)
def test_urls(url: str, problem: str) -> None:
    (found,) = _problems(f'[[destination]]\nname = "a"\nurl = "{url}"')
    assert problem in found


def test_all_problems_are_told_at_once() -> None:
    problems = _problems(
        '[box]\nnam = 1\nclock = "x"\n[store]\ncapacity = "much"\n'
        '[[destination]]\nurl = "http://h"\n'
        '[[destination]]\nname = "b"\nurl = "http://h"\nauth.kind = "basic"\n'
    )
    assert [problem.partition(":")[0] for problem in problems] == [
        "box.nam",
        'box.clock = "x"',
        'store.capacity = "much"',
        "destination[#1].name",
        "destination[b].auth.username",
        "destination[b].auth.password_file",
    ]


def test_no_conclusions_are_drawn_from_what_could_not_be_read() -> None:
    problems = _problems('[origin]\nbind = ["https://0.0.0.0:443"]\ncertificate = 5\n')
    assert len(problems) == 1


_CONTRADICTIONS = {
    "https without a certificate": (
        '[origin]\nbind = ["https://127.0.0.1:0"]',
        "origin.bind: an https listener needs origin.certificate and origin.private_key",
    ),
    "half a certificate": (
        '[origin]\ncertificate = "/c.pem"',
        "origin: certificate and private_key belong together; one of them is missing",
    ),
    "client certificates without TLS": (
        '[origin]\nclient_ca = "/ca.pem"',
        "origin.client_ca: asks for client certificates, but no listener in origin.bind is https",
    ),
    "one name for two tokens": (
        _TOKEN + _TOKEN.replace("0" * 64, "1" * 64),
        "access.token[t]: the name is used more than once",
    ),
    "one token under two names": (
        _TOKEN + _TOKEN.replace('"t"', '"u"'),
        "access.token: t, u are the same token",
    ),
    "one name for two destinations": (
        _DESTINATION + _DESTINATION,
        "destination[archive]: the name is used more than once",
    ),
    "a password without a user": (
        _DESTINATION + 'auth = {kind = "basic", password_file = "/p"}',
        'destination[archive].auth.username: must be given with kind = "basic"',
    ),
    "a token that nobody asks for": (
        _DESTINATION + 'auth = {token_file = "/t"}',
        'destination[archive].auth.token_file: has no meaning with kind = "none"',
    ),
    "TLS settings without TLS": (
        _DESTINATION.replace("https", "http") + 'tls = {ca = "/ca.pem"}',
        "destination[archive].tls.ca: has no meaning for http://archive.example/dicom-web, which is not https",
    ),
    "half a client certificate": (
        _DESTINATION + 'tls = {certificate = "/c.pem"}',
        "destination[archive].tls.certificate: belongs together with private_key; one of them is missing",
    ),
}


@pytest.mark.parametrize(("text", "problem"), _CONTRADICTIONS.values(), ids=_CONTRADICTIONS)
def test_contradictions(text: str, problem: str) -> None:
    assert _problems(text) == [problem]


@pytest.mark.parametrize(
    "bind", ["http://127.0.0.1:80", "http://127.8.9.1:0", "http://[::1]:0", "http://localhost:1", "unix:/s", "fd://3"]
)
def test_on_loopback_nothing_is_required(bind: str) -> None:  # of a descriptor: as long as nobody has looked
    assert _problems(f'[origin]\nbind = ["{bind}"]') == []


def _problems_of_descriptor(url: str, text: str = "") -> list[str]:
    return contradictions_of_descriptors(parse(f'[origin]\nbind = ["fd://3", "unix:/s"]\n{text}', {}), {"fd://3": url})


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "[fe80::1]"])
def test_a_descriptor_is_judged_by_where_it_listens(host: str) -> None:
    tls, authentication = _problems_of_descriptor(f"http://{host}:80")
    assert tls.startswith(f"origin.bind: http://{host}:80 can be reached from other machines without TLS")
    assert tls.endswith(f" (fd://3 is http://{host}:80)")
    assert "without authentication" in authentication
    assert len(_problems_of_descriptor(f"http://{host}:80", _TOKEN)) == 1
    tls, admin = _problems_of_descriptor(f"http://{host}:80", '[access]\nanonymous = ["admin"]')
    assert admin.startswith("access.anonymous: would make everybody who can reach http://")
    assert _problems_of_descriptor(f"http://{host}:80", '[access]\nplain_off_loopback = ["origin"]') == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:80", "http://[::1]:80"])
def test_a_descriptor_on_loopback_needs_nothing(url: str) -> None:
    assert _problems_of_descriptor(url) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "box.example", "[::ffff:127.0.0.1]"])
class TestOffLoopback:
    """Promise 9."""

    def test_plain_and_open_is_refused_for_both_reasons(self, host: str) -> None:
        tls, authentication = _problems(f'[origin]\nbind = ["http://{host}:80"]')
        assert "without TLS" in tls
        assert "without authentication" in authentication

    def test_plain_with_a_token_is_refused(self, host: str) -> None:
        (problem,) = _problems(f'[origin]\nbind = ["http://{host}:80"]\n{_TOKEN}')
        assert "without TLS" in problem

    def test_open_with_tls_is_refused(self, host: str) -> None:
        (problem,) = _problems(f'[origin]\nbind = ["https://{host}:443"]\n{_TLS}')
        assert "without authentication" in problem

    def test_tls_and_a_token_or_client_certificates_will_do(self, host: str) -> None:
        assert _problems(f'[origin]\nbind = ["https://{host}:443"]\n{_TLS}{_TOKEN}') == []
        assert _problems(f'[origin]\nbind = ["https://{host}:443"]\n{_TLS}client_ca = "/ca.pem"') == []

    def test_the_operator_may_name_the_exemption(self, host: str) -> None:
        exemption = '[access]\nplain_off_loopback = ["origin"]'
        assert _problems(f'[origin]\nbind = ["http://{host}:80"]\n{exemption}') == []


@pytest.mark.parametrize(
    ("bind", "problem"),
    [
        ("[]", "a list: write http://host:port"),
        ('"http://127.0.0.1:1"', "a list: write http://host:port"),
        ("[5]", "write http://host:port"),
        ('["127.0.0.1:80"]', "write http://host:port"),
        ('["http://127.0.0.1"]', "write http://host:port"),
        ('["http://127.0.0.1:70000"]', "Port out of range"),
        ('["http://127.0.0.1:80/x"]', "a path belongs into base_path"),
        ('["unix:relative"]', "write http://host:port"),
        ('["fd://0", "fd://0"]', "fd://0 stands there twice"),
    ],
)
def test_binds_that_are_none(bind: str, problem: str) -> None:
    (found,) = _problems(f"[origin]\nbind = {bind}")
    assert problem in found


def test_any_port_may_be_asked_for_twice() -> None:
    assert _problems('[origin]\nbind = ["http://127.0.0.1:0", "http://127.0.0.1:0"]') == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.path}={row.word}")
def test_what_is_promised_for_later_is_refused_as_such(row: object) -> None:
    path, word = row.path, row.word  # type: ignore[attr-defined]
    section, _, key = path.rpartition(".")
    value = "[]" if word is None else f'["{word}"]' if key in {"commitment", "plain_off_loopback"} else f'"{word}"'
    if section.startswith("destination"):
        text = _DESTINATION + f"{path.removeprefix('destination.')} = {value}"
    else:
        text = f"{path} = {value}"
    (problem,) = _problems(text)
    assert problem.endswith("not available in this version")
    assert key in problem


def test_an_empty_rate_is_no_rate() -> None:
    assert _problems(_DESTINATION + 'rate = ""') == []


def test_an_unknown_intake_is_unknown() -> None:
    assert _problems("[intake.serail]") == ["intake.serail: unknown key; the nearest in [intake] is serial"]
