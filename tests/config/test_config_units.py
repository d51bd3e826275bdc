"""Sizes, durations and rates: examples, the round trip, and that nothing but `UnitError` escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config import units


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("16GiB", 16 * 2**30),
        ("64 MiB", 64 * 2**20),
        ("1.5 kB", 1500),
        ("0", 0),
        (4096, 4096),
        (" 2TB ", 2 * 10**12),
    ],
)
def test_sizes(written: object, size_bytes: int) -> None:
    assert units.read_size(written) == size_bytes


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7d", 604_800.0),
        ("15m", 900.0),
        ("2s", 2.0),
        ("250 ms", 0.25),
        ("1.5h", 5400.0),
        (3, 3.0),
        (0.5, 0.5),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert units.read_duration(written) == seconds


@pytest.mark.parametrize(
    ("written", "bytes_per_s"),
    [("20Mbit/s", 2.5e6), ("2 MB/s", 2e6), ("1MiB/s", 1048576.0), ("1bit/s", 0.125), (1000, 1000.0)],
)
def test_rates(written: object, bytes_per_s: float) -> None:
    assert units.read_rate(written) == bytes_per_s


@pytest.mark.parametrize(
    "written",
    ["", "GiB", "-1", "1 gib", "1,5GiB", "٣GiB", "16GiB 1", "1e9", True, None, [1], float("inf"), 2**70],
)
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(units.UnitError):
        units.read_size(written)


def test_the_refusal_says_what_is_allowed() -> None:
    with pytest.raises(units.UnitError, match='write "16GiB"'):
        units.read_size("plenty")
    with pytest.raises(units.UnitError, match="the unit 'y' is not one of ms, s, m, h, d, w"):
        units.read_duration("2y")
    with pytest.raises(units.UnitError, match="finer than can be counted"):
        units.read_size("1.0001kB")


@given(st.integers(0, 2**53))
def test_sizes_round_trip(size_bytes: int) -> None:
    assert units.read_size(units.write_size(size_bytes)) == size_bytes


@given(st.integers(0, 2**42))
def test_durations_round_trip(milliseconds: int) -> None:
    assert units.read_duration(units.write_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 2**50))
def test_rates_round_trip(bits_per_s: int) -> None:
    assert units.read_rate(units.write_rate(bits_per_s / 8)) == bits_per_s / 8


@given(st.integers(0, 1000), st.sampled_from(["B", "kB", "KiB", "MB", "MiB", "GB", "GiB"]))
def test_written_sizes_are_short(count: int, unit: str) -> None:
    size_bytes = units.read_size(f"{count}{unit}")
    assert int(units.write_size(size_bytes).rstrip("BKMGTik")) <= count


_ANYTHING = st.one_of(
    st.text(max_size=20),
    st.from_regex(r"\s*[0-9.]{0,20}\s*[A-Za-z/]{0,9}\s*", fullmatch=True),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=2),
)


@given(_ANYTHING)
def test_a_quantity_or_a_unit_error(value: object) -> None:
    for read in (units.read_size, units.read_duration, units.read_rate):
        try:
            quantity = read(value)
        except units.UnitError:
            continue
        assert 0 <= quantity <= 2**53
