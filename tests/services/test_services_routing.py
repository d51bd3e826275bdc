"""Routing rules: the first that fits decides, by attribute, source and SOP Class; nothing that arrives breaks them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from edged.config import Route, When
from edged.dicom.attributes import KEPT, texts_of
from edged.services.destinations import Routes
from edged.services.routing import Arrived, Routed, Source, misfits, problems_of, routing_for, without_required

ROUTES = Routes({"archive": 1, "research": 2}, (1,))
CT, MR = Route(name="ct", when=When(modality=("CT",))), Route(name="mr", when=When(modality=("MR",)))


def arrived(attributes: Mapping[str, bytes] | None = None, source: Source | None = None) -> Arrived:
    """A CT image, if nothing else is said."""
    return Arrived("1.2.840.10008.5.1.4.1.1.2", attributes or {"Modality": b"CT"}, source or Source("stow"))


def holds(when: When, what: Arrived) -> bool:
    """Whether a rule with these conditions decides."""
    return routing_for(ROUTES, [Route(name="x", when=when)]).route(what).rule == "x"


@pytest.mark.parametrize("rules", [(), (MR,)])
def test_what_fits_no_rule_goes_everywhere(rules: tuple[Route, ...]) -> None:
    assert routing_for(ROUTES, rules).route(arrived()) == Routed((1, 2), (1,))


def test_the_first_rule_that_fits_decides() -> None:
    everything = Route(name="rest", to=("research",), hold=True)
    routing = routing_for(ROUTES, [MR, Route(name="ct", to=("archive",), urgent=True, when=CT.when), everything, CT])
    assert routing.route(arrived()) == Routed((1,), (1,), urgent=True, rule="ct")
    assert routing.route(arrived({"Modality": b"US"})) == Routed((2,), (), hold=True, rule="rest")


def test_a_rule_may_name_no_destination_and_some_lead_to_none_that_is_required() -> None:
    nowhere, optional = Route(name="nowhere", to=()), Route(name="optional", to=("research",))
    assert routing_for(ROUTES, [nowhere]).route(arrived()) == Routed((), (), rule="nowhere")
    assert without_required(ROUTES, [CT, nowhere, optional]) == ["nowhere", "optional"]


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        (When(), True),
        (When(modality=("MR", "C?")), True),
        (When(modality=("ct",)), False),
        (When(modality=("[C]T",)), False),
        (When(called_ae=("*",)), False),
        (When(source=("stow",)), True),
        (When(source=("ct-*",)), True),
        (When(source=("folder",)), False),
        (When(sop_class=("1.2.840.10008.5.1.4.1.1.2",)), True),
        (When(sop_class=("1.2.840.10008.5.1.4.1.1.2",), modality=("MR",)), False),
        (When(attribute={"ImageType": ("PRIMARY",)}), True),
        (When(attribute={"ImageType": ("ORIGINAL*PRIMARY",)}), False),
        (When(attribute={"Rows": ("512",)}), True),
        (When(attribute={"PatientName": ("M\u00fcller*",)}), True),
        (When(attribute={"StationName": ("*",)}), False),
        (When(attribute={"StudyDescription": ("*",)}), False),
    ],
)
def test_what_a_rule_may_look_at(when: When, fits: bool) -> None:
    attributes = {
        "SpecificCharacterSet": b"ISO_IR 192",
        "Modality": b"CT",
        "ImageType": b"ORIGINAL\\PRIMARY\\AXIAL ",
        "Rows": b"\x00\x02",
        "PatientName": "M\u00fcller^A".encode(),
        "StudyDescription": b"  ",
    }
    assert holds(when, arrived(attributes, Source("stow", sender="ct-room-2"))) is fits


def test_the_called_ae_title() -> None:
    assert holds(When(called_ae=("NIGHT",)), arrived(source=Source("dimse", called_ae="NIGHT")))


def test_an_attribute_that_nobody_knows_is_named() -> None:
    (problem,) = problems_of([CT, Route(name="x", when=When(attribute={"PixelData": ("1",), "Rows": ("1",)}))])
    assert problem.startswith("route[x].when.attribute: PixelData is not looked at; write one of AccessionNumber, ")


PATTERNS = st.lists(st.text("CTM?*[]", min_size=1, max_size=5), min_size=1, max_size=2).map(tuple)
KEYWORDS = st.sampled_from(sorted(KEPT.values()))
WHENS = st.builds(
    When,
    modality=st.none() | PATTERNS,
    source=st.none() | PATTERNS,
    attribute=st.dictionaries(KEYWORDS, PATTERNS, max_size=2),
)
ARRIVED = st.dictionaries(KEYWORDS, st.binary(max_size=20) | st.sampled_from([b"CT", b"M\\T"]), max_size=5).map(arrived)


@given(st.lists(WHENS, max_size=4), ARRIVED)
def test_whatever_arrives_what_is_explained_is_what_decides(whens: list[When], what: Arrived) -> None:
    rules = [Route(name=str(number), when=when) for number, when in enumerate(whens)]
    fitting = [rule.name for rule in rules if not list(misfits(rule, what))]
    assert routing_for(ROUTES, rules).route(what).rule == (fitting[0] if fitting else "")


def test_many_wildcards_do_not_hold_up_who_sends() -> None:
    assert not holds(When(modality=("*a" * 100,)), arrived({"Modality": b"a" * 99 + b"b" * 900}))


@given(KEYWORDS, st.binary(max_size=40), st.binary(max_size=20))
def test_any_bytes_have_texts(keyword: str, raw: bytes, charset: bytes) -> None:
    assert "" not in texts_of(keyword, {keyword: raw, "SpecificCharacterSet": charset})


CLASS, OTHER = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
A, B = Route(name="a", to=("a",)), Route(name="b", to=("b",))


@pytest.mark.parametrize(
    ("rules", "ways"),
    [
        ((), [{1, 2}]),
        ((A,), [{1}]),
        ((structs.replace(A, when=CT.when),), [{1}, {1, 2}]),
        ((structs.replace(A, when=CT.when), B), [{1}, {2}]),
        ((structs.replace(A, when=When(sop_class=(CLASS,))), B), [{1}]),
        ((structs.replace(A, when=When(sop_class=(OTHER,))), B), [{2}]),
        ((structs.replace(A, when=When(sop_class=(CLASS,), modality=("CT",))), B), [{1}, {2}]),
        ((Route(name="nowhere", to=("c",), when=CT.when), B), [{2}]),
        ((Route(name="nowhere", to=()),), []),
    ],
)
def test_what_an_instance_may_require_of_which_only_the_class_is_known(
    rules: tuple[Route, ...], ways: list[set[int]]
) -> None:
    routing = routing_for(Routes({"a": 1, "b": 2, "c": 3}, (1, 2)), rules)
    assert routing.required_of(CLASS) == frozenset(map(frozenset, ways))


@given(
    st.lists(st.builds(When, modality=st.none() | st.just(("CT",)), sop_class=st.none() | st.just((CLASS,)))),
    st.sampled_from([CLASS, OTHER]),
    st.sampled_from([b"CT", b"MR"]),
)
def test_the_way_that_an_instance_goes_is_among_them(whens: list[When], sop_class: str, modality: bytes) -> None:
    routes = Routes({"a": 1, "b": 2, "c": 3}, (1, 2))
    rules = [Route(name=str(at), to=("abc"[at % 3],), when=when) for at, when in enumerate(whens)]
    routing = routing_for(routes, rules)
    required = routing.route(Arrived(sop_class, {"Modality": modality}, Source("stow"))).required
    assert not required or frozenset(required) in routing.required_of(sop_class)
