"""Who asked, as trusted proxies tell it, and nobody else."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.forwarded import (
    MALFORMED,
    MAX_HOPS,
    MAX_LENGTH,
    NOTHING_SAID,
    SILENT,
    Forwarded,
    TrustedProxies,
    is_forwarded,
    parse_address,
    read_forwarded,
)

PROXIES = TrustedProxies(networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
PEER = "10.0.0.1"
CLIENT = ip_address("198.51.100.7")


def read(peer: str | None = PEER, trusted: TrustedProxies = PROXIES, /, **fields: str) -> Forwarded:
    return read_forwarded({name.replace("_", "-"): value for name, value in fields.items()}, peer, trusted)


def test_nothing_is_said() -> None:
    assert read("192.0.2.1", host="box", via="1.1 proxy") is NOTHING_SAID
    assert read(host="box", via="1.1 proxy") is SILENT
    assert read(None, TrustedProxies(unix=True)) is SILENT
    assert not is_forwarded(["host", "via"])
    assert is_forwarded({"x-forwarded-for": ""})


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1", "rubbish", "", None])
def test_another_peer_is_not_believed(peer: str | None) -> None:
    assert read(peer, forwarded="for=198.51.100.7;proto=https;host=pacs") is NOTHING_SAID


def test_a_unix_socket_is_believed_when_it_is_said() -> None:
    assert read(None, TrustedProxies(unix=True), x_forwarded_for="198.51.100.7").client == CLIENT
    assert read("eth0", TrustedProxies(unix=True), x_forwarded_for="198.51.100.7") is NOTHING_SAID


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.1", "fd00::1%eth0", "fd12::9"])
def test_a_trusted_peer_by_other_names(peer: str) -> None:
    assert read(peer, x_forwarded_for="198.51.100.7").client == CLIENT


def test_forwarded() -> None:
    said = read(forwarded='For="198.51.100.7:4711";proto=HTTPS;Host="pacs.example:8443";by=10.0.0.1;ext=1')
    assert said == Forwarded(
        client=CLIENT, scheme="https", host="pacs.example", port=8443, from_proxy=True, believed=True
    )
    assert said.authority == "pacs.example:8443"


def test_x_forwarded() -> None:
    said = read(
        x_forwarded_for="198.51.100.7",
        x_forwarded_proto="https",
        x_forwarded_host="pacs.example",
        x_forwarded_port="8443",
        x_forwarded_prefix="/edged/",
    )
    assert said == Forwarded(
        client=CLIENT, scheme="https", host="pacs.example", port=8443, prefix="/edged", from_proxy=True, believed=True
    )


@pytest.mark.parametrize(
    ("fields", "authority"),
    [
        ({"x_forwarded_proto": "https", "x_forwarded_host": "pacs"}, "pacs"),
        ({"x_forwarded_proto": "https", "x_forwarded_host": "pacs", "x_forwarded_port": "443"}, "pacs"),
        ({"x_forwarded_proto": "http", "x_forwarded_host": "pacs", "x_forwarded_port": "443"}, "pacs:443"),
        ({"x_forwarded_proto": "wss", "x_forwarded_host": "pacs:443"}, "pacs"),
        ({"x_forwarded_host": "pacs:81", "x_forwarded_port": "82"}, "pacs:81"),
        ({"x_forwarded_host": "[2001:DB8::1]:8443"}, "[2001:db8::1]:8443"),
        ({"x_forwarded_host": "pacs:"}, "pacs"),
        ({"x_forwarded_host": "[2001:DB8::1]:", "x_forwarded_port": "82"}, "[2001:db8::1]:82"),
        ({"forwarded": 'host="pacs:"'}, "pacs"),
        ({"x_forwarded_proto": "https"}, None),
    ],
)
def test_the_authority(fields: dict[str, str], authority: str | None) -> None:
    assert read(**fields).authority == authority


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7, 10.0.0.9, 10.0.0.8", "198.51.100.7"),
        ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ("198.51.100.7:5555", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("unknown", None),
        ("198.51.100.7, unknown", None),
        ("198.51.100.7, _hidden-1, 10.0.0.9", None),
    ],
)
def test_the_hops_are_walked_from_the_right_while_trusted(value: str, client: str | None) -> None:
    expected = None if client is None else ip_address(client)
    assert read(x_forwarded_for=value).client == expected
    quoted = ", ".join(
        f'for="{f"[{hop}]" if hop.count(":") > 1 and "[" not in hop else hop}"' for hop in value.split(", ")
    )
    assert read(forwarded=quoted).client == expected


def test_the_outermost_trusted_proxy_says_the_url() -> None:
    said = read(
        forwarded="for=6.6.6.6;host=evil, for=198.51.100.7;host=pacs;proto=https, for=10.0.0.9;host=in;proto=http"
    )
    assert (said.client, said.host, said.scheme) == (CLIENT, "pacs", "https")
    said = read(
        x_forwarded_for="6.6.6.6, 198.51.100.7, 10.0.0.9",
        x_forwarded_proto="ftp, https, http",
        x_forwarded_host="evil, pacs, in",
    )
    assert (said.client, said.host, said.scheme) == (CLIENT, "pacs", "https")


def test_what_an_outer_proxy_does_not_say_an_inner_one_does() -> None:
    said = read(forwarded="for=198.51.100.7;proto=https, for=10.0.0.9;host=in;proto=http")
    assert (said.host, said.scheme) == ("in", "https")


def test_a_single_value_is_that_of_the_outermost() -> None:
    assert read(x_forwarded_for="198.51.100.7, 10.0.0.9", x_forwarded_proto="https").scheme == "https"


def test_the_family_that_names_a_client_decides_alone() -> None:
    """Forwarded is passed on by a proxy that writes X-Forwarded-*: what a user agent says there is not taken over."""
    made_up = "proto=https;host=evil.example"
    said = read(forwarded=made_up, x_forwarded_for="198.51.100.7")
    assert said == Forwarded(client=CLIENT, from_proxy=True, believed=True)
    assert read(forwarded=made_up, x_forwarded_for="198.51.100.7", x_forwarded_proto="http").scheme == "http"
    said = read(forwarded="for=198.51.100.7", x_forwarded_proto="https", x_forwarded_host="evil.example")
    assert said == Forwarded(client=CLIENT, from_proxy=True, believed=True)
    assert read(forwarded="for=198.51.100.7", x_forwarded_prefix="/evil").prefix == ""
    assert read(forwarded="for=unknown", x_forwarded_host="evil.example").host is None


def test_of_two_families_that_agree_forwarded_decides() -> None:
    said = read(forwarded="for=198.51.100.7", x_forwarded_for="198.51.100.7", x_forwarded_proto="https")
    assert said == Forwarded(client=CLIENT, from_proxy=True, believed=True)
    assert read(forwarded="proto=https", x_forwarded_proto="https").scheme == "https"
    both = read(forwarded="for=198.51.100.7", x_forwarded_for="198.51.100.7", x_forwarded_prefix="/edged")
    assert both.prefix == "/edged"


def test_families_that_disagree_are_not_used() -> None:
    """A proxy that writes one of them passes on what the user agent made up in the other."""
    assert read(forwarded="for=6.6.6.6", x_forwarded_for="198.51.100.7") is MALFORMED
    assert read(forwarded="proto=https", x_forwarded_proto="http").malformed


def test_a_user_agent_cannot_push_the_proxys_word_out() -> None:
    """What is too long is cut at its left, where the user agent stands."""
    for padding in ("a" * MAX_LENGTH, "1.1.1.1, " * MAX_LENGTH, '"' * MAX_LENGTH, "," * MAX_LENGTH):
        said = read(x_forwarded_for=f"{padding}, 198.51.100.7", x_forwarded_proto=f"{padding}, http")
        assert (said.client, said.scheme) == (CLIENT, "http")
    assert read(forwarded="for=6.6.6.6, " * MAX_LENGTH + "for=198.51.100.7;proto=http").client == CLIENT
    assert read(forwarded='for="' + "x" * MAX_LENGTH + ", for=198.51.100.7").client in {CLIENT, None}


@pytest.mark.parametrize(
    "fields",
    [
        {"forwarded": ""},
        {"forwarded": "for"},
        {"forwarded": "for="},
        {"forwarded": "for=1.2.3"},
        {"forwarded": "for=1.2.3.4;for=1.2.3.5"},
        {"forwarded": 'for="1.2.3.4'},
        {"forwarded": "for = 1.2.3.4"},
        {"forwarded": "for=1.2.3.4,,for=10.0.0.9"},
        {"forwarded": "for=[fe80::1%eth0]"},
        {"forwarded": "for=1.2.3.4;proto=gopher"},
        {"forwarded": 'for=1.2.3.4;host="a b"'},
        {"forwarded": 'host="[1.2.3.4]"'},
        {"forwarded": "for=" + "1" * 9000},
        {"x_forwarded_for": "1.2.3.4,"},
        {"x_forwarded_for": "localhost"},
        {"x_forwarded_for": "010.0.0.1"},
        {"x_forwarded_for": "localhost, 10.0.0.9"},
        {"x_forwarded_proto": ""},
        {"x_forwarded_host": "a/b"},
        {"x_forwarded_host": "user@host"},
        {"x_forwarded_host": "pacs:0"},
        {"x_forwarded_host": "pacs:99999"},
        {"x_forwarded_port": "http"},
        {"x_forwarded_port": "٣"},
        {"x_forwarded_prefix": "edged"},
        {"x_forwarded_prefix": "//evil.example"},
        {"x_forwarded_prefix": "/a/../b"},
        {"x_forwarded_prefix": "/a, /b"},
        {"x_forwarded_prefix": "/a\nb"},
        {"x_forwarded_prefix": "/" + "a" * 300},
    ],
)
def test_what_is_malformed_is_ignored_as_a_whole(fields: dict[str, str]) -> None:
    said = read(**({"x_forwarded_proto": "https"} | fields))
    assert said is MALFORMED


@pytest.mark.parametrize("made_up", ["rubbish", "", "10.0.0.1", "6.6.6.6", ", ".join(["1.1.1.1"] * 99)])
def test_what_is_left_of_the_client_is_not_read(made_up: str) -> None:
    """A user agent cannot hide behind something malformed."""
    assert read(x_forwarded_for=f"{made_up}, 198.51.100.7, 10.0.0.9").client == CLIENT
    assert read(forwarded=f"{made_up}, for=198.51.100.7, for=10.0.0.9").client == CLIENT


def test_a_walk_ends() -> None:
    assert read(x_forwarded_for="198.51.100.7, " + ", ".join(["10.0.0.9"] * MAX_HOPS)).client == ip_address("10.0.0.9")


def test_a_proxy_that_says_only_the_prefix() -> None:
    assert read(x_forwarded_prefix="/") == Forwarded(from_proxy=True, believed=True)
    assert read(x_forwarded_prefix="/a.b/c_~d").prefix == "/a.b/c_~d"


@pytest.mark.parametrize("text", ["", "1.2.3", "fe80::1%1", "١.2.3.4", "1.2.3.4/8"])
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None


LIKELY = st.text(alphabet='for=1.2,;":[]protohs_un%/ ', max_size=40) | st.text()
NAMES = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
)


@given(st.dictionaries(st.sampled_from(NAMES), LIKELY), st.sampled_from([PEER, "192.0.2.1", None]))
def test_anything_is_read_without_an_error(fields: dict[str, str], peer: str | None) -> None:
    said = read_forwarded(fields, peer, PROXIES)
    assert not (said.malformed and said.believed)
    assert said.scheme in (None, "http", "https")
    assert said.prefix == "" or said.prefix.startswith("/")
    assert said.believed or said in (NOTHING_SAID, SILENT, MALFORMED)


@given(st.lists(st.ip_addresses(v=4), min_size=1, max_size=6))
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(hops: list[object]) -> None:
    addresses = [ip_address(str(hop)) for hop in hops]
    strangers = [address for address in addresses if not PROXIES.trusts(address)]
    assert read(x_forwarded_for=", ".join(map(str, hops))).client == (strangers[-1] if strangers else addresses[0])
