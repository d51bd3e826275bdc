"""Warnings in the form of PS3.18, which nothing can break."""

from hypothesis import given
from hypothesis import strategies as st

from edged.http.warning import MAX_NAMES, MAX_TEXT, unsupported_parameters, warning

SERVICE = "http://box:8080/dicom-web"


def test_the_form_of_8_3_4_2() -> None:
    text = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
    assert warning(SERVICE, text) == f"299 {SERVICE}: {text}"


def test_unsupported_parameters_are_named() -> None:
    assert unsupported_parameters(SERVICE, ["_", "größe", "a\r\nb"]) == (
        f"299 {SERVICE}: The following query parameters are not supported and were ignored: _ gr%C3%B6%C3%9Fe a%0D%0Ab"
    )


def test_many_names_are_counted() -> None:
    text = unsupported_parameters(SERVICE, [f"n{number}" for number in range(MAX_NAMES + 5)])
    assert text.endswith(f" n{MAX_NAMES - 1} and 5 more")


def test_nothing_breaks_out_of_the_field() -> None:
    assert warning("http://box/ a", "one\r\nSet-Cookie: x\x00é") == "299 http://box/a: one??Set-Cookie: x??"


@given(st.text(), st.text(), st.lists(st.text()))
def test_every_warning_is_printable_and_bounded(service: str, text: str, names: list[str]) -> None:
    for value in (warning(service, text), unsupported_parameters(service, names)):
        assert value.isascii()
        assert value.isprintable()
        assert len(value) <= 2 * MAX_TEXT + 10
