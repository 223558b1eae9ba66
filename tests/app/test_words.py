"""Text for people: nothing from a file formats a page, nothing is rounded to nothing."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import words
from core.runs.run import Run
from core.tasks.classification import ACCURACY
from core.utils.formatting import printable
from tests.helpers.app import SAMPLES, metrics_of

SPECIAL = "\\`*_{}[]()#+-.!|<>~$:&"
HOSTILE = st.text(
    st.one_of(st.sampled_from(SPECIAL + "w@/=\n\r\t\u2028\u202e\ud800"), st.characters()), max_size=40
) | st.sampled_from(
    ["www.x.org", "HTTPS://x.org", "a@b.org", "-> <- -- >= <= ~=", ":streamlit:", "<b>&lt;", "# h\n- x"]
)


@given(HOSTILE)
def test_safe_text_says_the_same_and_formats_nothing(text: str) -> None:
    shown = words.safe(text)
    assert re.sub(r"\\(.)", r"\1", shown).replace(words.JOINER, "").replace(words.GLUE, " ") == printable(text)
    bare = re.sub(r"\\.", "", shown)
    assert not set(bare) & set(SPECIAL), "a character that Markdown reads has no backslash"
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(HOSTILE)
def test_safe_text_holds_nothing_that_is_linked_or_replaced_later(text: str) -> None:
    plain = re.sub(r"\\(.)", r"\1", words.safe(text))
    assert not re.search(r"://|www\.|@\w|:streamlit:", plain, re.IGNORECASE)
    assert not re.search(r"(?<!\S)(->|<-|--|>=|<=|~=)(?!\S)", plain)


@pytest.mark.parametrize("unit", ["%", "kB", "MB", "ms", "s", "dB"])
def test_a_number_and_its_unit_are_not_parted(unit: str) -> None:
    assert words.joined(f"3 {unit} of 1,000.5 {unit}.") == f"3{words.GLUE}{unit} of 1,000.5{words.GLUE}{unit}."
    assert words.joined("of 12 sizes, 3 msec") == "of 12 sizes, 3 msec"
    assert words.safe(f"at 97.1 {unit}").replace("\\", "") == f"at 97.1{words.GLUE}{unit}"


@given(HOSTILE, st.integers(8, 60))
def test_short_names_keep_both_ends(text: str, longest: int) -> None:
    line, short = printable(text), words.short(text, longest)
    assert len(short) <= longest
    assert short == line or (line.startswith(short.split("…")[0]) and "…" in short)


@given(st.floats(1, 1e9), st.floats(1e-6, 1))
def test_a_share_is_never_rounded_to_nothing(full: float, part: float) -> None:
    assert re.fullmatch(r"[\d.e+-]+ %", words.share(part * full, full))
    assert not words.share(part * full, full).startswith("0 ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "yes"), (False, "no"), (1 / 3, "0.3333"), (1.0, "1"), (12345, "12,345"), (None, "–"), ("cpu", "cpu")],
)
def test_settings_read_like_settings(value: object, shown: str) -> None:
    assert words.setting(value) == shown


@pytest.mark.parametrize("value", [None, "12", True, 1.5, {}])
def test_a_count_that_is_none_does_not_fail(value: object) -> None:
    assert words.count(value) == "an unknown number of"


def test_settings_of_a_run_have_no_raw_python_in_them() -> None:
    for sample in sorted(path for path in SAMPLES.iterdir() if (path / "run.json").exists()):
        shown = words.settings(Run(sample).record)
        assert shown["recipe"] in ("paper", "stratified", "sandwich")
        assert not {"True", "False", "None"} & set(shown.values())
        assert all("_" not in name and len(value) <= 60 for name, value in shown.items())
        assert not any(re.fullmatch(r"\d\.\d{6,}", value) for value in shown.values())


def test_settings_and_purpose_take_any_record() -> None:
    record = Run(SAMPLES / "digits-paper").record
    odd = dataclasses.replace(
        record,
        family={"name": None, "settings": [1]},
        data={},
        training={},
        recipe={"name": None, "odd": {"a": [True]}},
        labels=("**only** <b>one</b>",),
    )
    assert words.settings(odd)["model"] == "its owner's own program"
    named = dataclasses.replace(record, family={"name": "own", "settings": {"inner_size": 4}})
    assert words.settings(named)["model inner size"] == "4", "as people write it"
    assert "1 kind apart" in words.purpose(odd)
    two = words.purpose(dataclasses.replace(record, labels=("no", "yes")))
    assert "It tells 2 kinds apart (no and yes)" in two


@given(st.dictionaries(st.integers(1, 300), st.floats(0.001, 1000), max_size=5), st.integers(1, 300))
def test_time_is_that_of_the_nearest_measured_size(times: dict[int, float], width: int) -> None:
    shown = words.nearest_time(times, width)
    assert (shown == "") == (not times)
    if width in times:
        assert shown == words.milliseconds(times[width])


def test_readouts_say_what_the_table_says() -> None:
    metrics = metrics_of(SAMPLES / "digits-stratified")
    rows = words.readouts(metrics, ACCURACY, {})
    assert [row["width"] for row in rows] == metrics["width"].tolist()
    assert [row["value"] for row in rows] == [f"{100 * v:.1f}{words.GLUE}%" for v in metrics["accuracy"]]
    assert [row["params"] for row in rows] == [f"{n:,}" for n in metrics["params"]]
    assert all(a["place"] < b["place"] for a, b in itertools.pairwise(rows))
    assert rows[-1]["change"] == "this is full size"
    assert not any(row["change"] == "this is full size" or row["time"] for row in rows[:-1])
