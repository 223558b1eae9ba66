"""A figure that is typed is read as a person means it, or refused in one sentence; never as another figure."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.widgets.read_number import read_number, write_number
from core.errors import UserError

SIZE = {"kB": 1.0, "MB": 1e3, "bytes": 1e-3}
THOUSANDS = ("", " ", "\u00a0", "\u2009", "\u202f", "'", "\u2019", ",", ".")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100,5", 100.5), ("100.5", 100.5), (" 100,5 kB", 100.5), ("100.5kb", 100.5), ("1,5 MB", 1500.0),
        ("2mb", 2000.0),
        ("0,125", 0.125), ("0.125", 0.125), (",5", 0.5), (".5", 0.5), ("5,", 5.0), ("1.234,5", 1234.5),
        ("1,234.5", 1234.5), ("1 234,5", 1234.5), ("1\u202f234\u00a0kB", 1234.0), ("1'234", 1234.0),
        ("1,234,567", 1234567.0), ("1.234.567,25", 1234567.25),
        ("1234,567", 1234.567), ("1,2345", 1.2345), ("2e3", 2000.0),
        ("1,5e-3", 0.0015), ("-5", -5.0), ("\u22125", -5.0), ("+5", 5.0), ("500 bytes", 0.5), ("007", 7.0),
    ],
)  # fmt: skip
def test_read_as_written(text: str, value: float) -> None:
    assert read_number(text, SIZE) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text",
    [
        "1,234", "1.234", "12.500 kB", "-1,234", "", " ", "abc", "1,2,3", "1.2.3", "1,23,456", "1.234,567,8", "1 23",
        "1 2345",
        "12 kg", "5 %", "nan", "inf", "1e999", "--5", "5-", "0x10", "1_000", "5 5", "e5", "-", ",", "kB", "9" * 99,
        "\u0665", "1,234.5.6", "1.2,3",
    ],
)  # fmt: skip
def test_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError) as error:
        read_number(text, SIZE)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_what_may_be_two_figures_names_both() -> None:
    with pytest.raises(UserError, match=r"'1,234' may be 1234 or 1\.234; write 1234, or 1\.2340 with one more digit"):
        read_number("1,234")
    assert read_number("1.2340") == 1.234


@given(
    st.integers(0, 10**9), st.integers(0, 9999), st.integers(0, 4), st.sampled_from(".,"), st.sampled_from(THOUSANDS)
)
def test_every_way_of_writing_a_figure_gives_it_or_is_refused(
    whole: int, part: int, digits: int, mark: str, thousands: str
) -> None:
    decimals = f"{part:04}"[:digits]
    text = f"{whole:,}".replace(",", thousands) + (f"{mark}{decimals}" if decimals else "")
    try:
        value = read_number(text)
    except UserError:
        assert len({c for c in text if c in ".,"}) == 1, "only a lone kind of mark leaves a doubt"
        return
    if thousands == mark and digits and whole >= 1000:
        assert digits == 3, "one mark for both is no number"
        assert value == int(f"{whole}{decimals}"), "but three digits behind it are a further group"
        return
    assert value == float(f"{whole}.{decimals or 0}")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_a_field_shows_is_what_it_reads(value: float) -> None:
    assert read_number(write_number(value)) == float(f"{value:.12g}")


@given(st.text(max_size=30))
def test_any_text_is_a_finite_number_or_refused(text: str) -> None:
    with contextlib.suppress(UserError):
        assert abs(read_number(text, SIZE)) < float("inf")
