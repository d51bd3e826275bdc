"""The two metadata encodings: what is written is read back, and anything else is DataSetError."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.data_set import (
    MAX_BYTES,
    Attribute,
    DataSet,
    DataSetError,
    Value,
    first_of,
    items_of,
    text_of,
)
from edged.dicomweb.json_model import from_json, to_json
from edged.dicomweb.xml_model import from_xml, to_xml

TEXTS = st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=12)
TAGS = st.integers(0x00080000, 0x0020FFFF).map(lambda tag: f"{tag & ~0x10000:08X}")
SIMPLE = st.builds(
    Attribute, st.sampled_from(["UI", "LO", "CS", "UR"]), st.lists(TEXTS | st.none(), max_size=3).map(tuple)
) | st.builds(
    Attribute,
    st.sampled_from(["US", "UV"]),
    st.lists(st.integers(-(2**53) + 1, 2**53 - 1), max_size=3).map(tuple),
)


def sequences(children: st.SearchStrategy[Attribute]) -> st.SearchStrategy[Attribute]:
    items: st.SearchStrategy[Value] = st.dictionaries(TAGS, children, max_size=3)
    return st.builds(Attribute, st.just("SQ"), st.lists(items, max_size=3).map(tuple))


DATA_SETS = st.dictionaries(TAGS, st.recursive(SIMPLE, sequences, max_leaves=8), max_size=4)

EVENT: DataSet = {
    "00990010": Attribute("LO", ("EDGED 1.0",)),
    "00991001": Attribute("UV", (7,)),
    "00081199": Attribute("SQ", ({"00081155": Attribute("UI", ("1.2",)), "00081190": Attribute("UR")}, {})),
}


@given(DATA_SETS)
def test_json_is_read_back(data_set: DataSet) -> None:
    assert from_json(to_json(data_set)) == [data_set]


@given(DATA_SETS)
def test_xml_is_read_back(data_set: DataSet) -> None:
    assert from_xml(to_xml(data_set)) == data_set


@given(st.lists(DATA_SETS, min_size=2, max_size=3))
def test_several_data_sets_are_an_array(data_sets: list[DataSet]) -> None:
    assert from_json(to_json(*data_sets)) == data_sets


def test_json_as_annex_f_writes_it() -> None:
    assert msgspec.json.decode(to_json(EVENT)) == {
        "00081199": {
            "vr": "SQ",
            "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}, "00081190": {"vr": "UR"}}, {}],
        },
        "00990010": {"vr": "LO", "Value": ["EDGED 1.0"]},
        "00991001": {"vr": "UV", "Value": [7]},
    }
    assert list(msgspec.json.decode(to_json(EVENT))) == ["00081199", "00990010", "00991001"]


def test_a_large_number_is_a_string_in_json() -> None:
    assert b'"9007199254740992"' in to_json({"00991001": Attribute("UV", (2**53,))})


def test_xml_carries_keywords_and_private_creators_instead_of_blocks() -> None:
    text = to_xml(EVENT).decode()
    assert 'tag="00081155" vr="UI" keyword="ReferencedSOPInstanceUID"' in text
    assert 'tag="00990001" vr="UV" privateCreator="EDGED 1.0"' in text
    assert "00990010" not in text
    assert from_xml(to_xml(EVENT)) == EVENT


def test_xml_reads_the_names_of_example_b_28_and_namespaces() -> None:
    body = b"""<?xml version="1.0"?><d:NativeDicomModel xmlns:d="http://dicom.nema.org/PS3.19/models/NativeDICOM">
      <d:DicomAttribute Tag="00081199" VR="SQ" Keyword="x"><d:Item number="1">
        <d:DicomAttribute Tag="0008114a" VR="US"><d:Value number="1">
          274</d:Value></d:DicomAttribute>
      </d:Item></d:DicomAttribute></d:NativeDicomModel>"""
    [item] = items_of(from_xml(body), "00081199")
    assert item == {"0008114A": Attribute("US", (274,))}


def test_two_private_creators_get_two_blocks() -> None:
    attribute = '<DicomAttribute tag="00990001" vr="LO" privateCreator="{0}"><Value>{0}</Value></DicomAttribute>'
    body = f"<NativeDicomModel>{attribute.format('A')}{attribute.format('B')}</NativeDicomModel>".encode()
    read = from_xml(body)
    assert text_of(read, "00991001") == "A"
    assert text_of(read, "00991101") == "B"


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    body = to_xml({"00080054": Attribute("AE", ("a\x00<&>\x1f\ud800b",))})
    assert text_of(from_xml(body), "00080054") == "a <&> ?b"


@pytest.mark.parametrize(
    ("member", "attribute"),
    [
        ({"vr": "UI", "Value": "1.2"}, Attribute("UI", ("1.2",))),
        ({"Value": [{}]}, Attribute("SQ", ({},))),
        ({"Value": [True, [1], {"a": 1}]}, Attribute("UN", (None, None, None))),
        ({"vr": 7}, Attribute("UN", ())),
        ({"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}, Attribute("PN", (None,))),
        ({"vr": "OB", "InlineBinary": "AAAA"}, Attribute("OB", ())),
    ],
)
def test_json_is_read_leniently(member: dict[str, object], attribute: Attribute) -> None:
    body = msgspec.json.encode({"0008119a": member, "rubbish": {}, "00080018": 1})
    assert from_json(body) == [{"0008119A": attribute}]


@pytest.mark.parametrize(
    "body",
    [b"", b"1", b'"x"', b"[1]", b"{", b"{}x", b"\xff{}", b"[" * 100_000, b'{"a":' * 100_000, b" " * (MAX_BYTES + 1)],
)
def test_what_is_not_dicom_json(body: bytes) -> None:
    with pytest.raises(DataSetError):
        from_json(body)


@pytest.mark.parametrize(
    "body", [b"[" + b"{}," * 250_000 + b"{}]", b'{"00081155":{"Value":[' + b"1," * 400_001 + b"1]}}"]
)
def test_a_small_body_with_too_many_values_is_refused(body: bytes) -> None:
    with pytest.raises(DataSetError, match="values"):
        from_json(body)


@pytest.mark.parametrize("piece", [b"<Item/>", b"<Value a='1' b='2' c='3' d='4'/>"])
def test_a_small_document_with_too_many_elements_is_refused(piece: bytes) -> None:
    with pytest.raises(DataSetError, match="values"):
        from_xml(b"<NativeDicomModel>" + piece * 400_000 + b"</NativeDicomModel>")


def nested(depth: int) -> DataSet:
    return {} if depth == 0 else {"00081115": Attribute("SQ", (nested(depth - 1),))}


def test_nesting_is_bounded() -> None:
    assert from_json(to_json(nested(15))) == [from_xml(to_xml(nested(15)))]
    with pytest.raises(DataSetError):
        from_json(to_json(nested(16)))
    with pytest.raises(DataSetError):
        from_xml(to_xml(nested(17)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"<NativeDicomModel>",
        b"<NativeDicomModel/><x/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel>&a;</NativeDicomModel>',
        b'<!DOCTYPE x SYSTEM "http://example.org/x.dtd"><NativeDicomModel/>',
        b"<NativeDicomModel>&a;</NativeDicomModel>",
        b'<?xml version="1.0" encoding="no-such"?><NativeDicomModel/>',
        b'<?xml version="1.0" encoding="utf-7"?><NativeDicomModel/>',
        b'<?xml version="1.0" encoding="rot13"?><NativeDicomModel/>',
        b'<?xml version="1.0" encoding="gb18030"?><NativeDicomModel/>',
        b"<NativeDicomModel>" + b"<Item>" * 10_000,
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_not_a_native_dicom_model(body: bytes) -> None:
    with pytest.raises(DataSetError):
        from_xml(body)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_data_set_or_its_error(body: bytes) -> None:
    for read in (from_json, from_xml):
        try:
            assert isinstance(read(body), list | dict)
        except DataSetError:
            continue


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["00081199", "00081155", "vr", "Value", "SQ"]), children, max_size=3)
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_any_json_is_data_sets_or_its_error(content: object) -> None:
    try:
        data_sets = from_json(msgspec.json.encode(content))
    except DataSetError:
        return
    for data_set in data_sets:
        assert from_xml(to_xml(data_set)) is not None


ELEMENTS = st.lists(
    st.sampled_from(
        [
            "<NativeDicomModel>",
            "</NativeDicomModel>",
            '<DicomAttribute tag="00081199" vr="SQ">',
            '<DicomAttribute tag="00990001" privateCreator="X">',
            "<DicomAttribute>",
            "</DicomAttribute>",
            "<Item>",
            "</Item>",
            "<Value>",
            "</Value>",
            "12",
            "-0110",
            "&lt;",
        ]
    ),
    max_size=12,
)


@given(ELEMENTS)
def test_any_elements_are_a_data_set_or_its_error(elements: list[str]) -> None:
    try:
        read = from_xml("".join(["<NativeDicomModel>", *elements, "</NativeDicomModel>"]).encode())
    except DataSetError:
        return
    assert from_xml(to_xml(read)).keys() == read.keys()


def test_values_are_looked_up_leniently() -> None:
    data_set: DataSet = {
        "00081155": Attribute("UI", (" 1.2\0",)),
        "00081197": Attribute("US", (272,)),
        "00081199": Attribute("SQ", (None, {}, "x")),
        "00081190": Attribute("UR"),
    }
    assert text_of(data_set, "00081155") == "1.2"
    assert text_of(data_set, "00081197") == "272"
    assert text_of(data_set, "00081190") == text_of(data_set, "00080000") == ""
    assert items_of(data_set, "00081199") == [{}]
    assert items_of(data_set, "00080000") == []
    assert first_of(data_set, "00081190") is None
