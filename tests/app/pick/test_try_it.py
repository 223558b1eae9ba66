"""Try it: what a visitor brings is made into what a network takes, and both sizes say what they say as ONNX files."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.charts import images as charts_images
from app.pick.try_it import panel as try_it_panel
from app.pick.try_it import parsing
from app.pick.try_it.parsing import PAD_SIDE, Habits
from app.widgets.read_number import read_number
from core.data.input_format import InputFormat
from core.errors import UserError
from core.runs.run import Run
from tests.helpers.app import SAMPLES, edit_record, open_page, texts, well

Place = Callable[..., Path]


def file_of(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def on_the_pad(picture: np.ndarray, side: int, top: int, left: int) -> str:
    """A small grey picture in [0, 1] as somebody would draw it: larger, and anywhere on the pad."""
    large = np.asarray(Image.fromarray(picture.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
    ink = np.zeros((PAD_SIDE, PAD_SIDE), np.uint8)
    ink[top : top + side, left : left + side] = np.clip(255 * large, 0, 255)
    return base64.b64encode(ink.tobytes()).decode()


@pytest.mark.parametrize("sample", ["digits-stratified", "mnist"])
def test_a_digit_drawn_anywhere_in_any_size_is_told_as_it_was(sample: str) -> None:
    from core.export.formats import export
    from core.export.program import run_onnx

    run = Run(SAMPLES / sample)
    form, examples = run.record.input, run.examples()
    images = charts_images.as_images(examples["x"], form.low, form.high)
    assert images is not None
    usual = parsing.habits(images)
    assert usual
    rng = np.random.default_rng(0)
    again = []
    for image in images[:100]:
        side = int(rng.integers(60, PAD_SIDE))
        top, left = rng.integers(0, PAD_SIDE - side, 2)
        ink = parsing.drawn(on_the_pad(image[..., 0], side, top, left))
        assert ink is not None
        shades = parsing.placed(ink, usual, image.shape[:2])
        assert shades is not None
        again.append(parsing.as_input(shades[..., None], form, form.low or 0.0, form.high or 1.0))
    scores = run_onnx(export(run, run.layout.full, "onnx").data, np.stack(again))
    same = scores.argmax(1) == run.predicted(max(run.layout.full.values()))[examples["index"][:100]]
    assert same.mean() >= 0.85, "the drawing lies as the run's pictures do"


@given(st.one_of(st.text(max_size=40), st.binary(max_size=80).map(lambda raw: base64.b64encode(raw).decode())))
def test_a_drawing_that_is_none_is_refused(text: str) -> None:
    if text:
        with pytest.raises(UserError, match="draw again"):
            parsing.drawn(text)
    else:
        assert parsing.drawn(text) is None


def test_an_empty_pad_is_no_drawing() -> None:
    assert parsing.drawn(base64.b64encode(bytes(PAD_SIDE**2)).decode()) is None
    assert parsing.placed(np.zeros((9, 9), np.float32), Habits(ground=0, longest=5, centre=(2, 2)), (5, 5)) is None


@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.0, 1.0]),
    st.floats(1, 28),
)  # fmt: skip
def test_ink_lands_whole_and_in_its_usual_size(
    height: int, width: int, top: int, left: int, ground: float, longest: float
) -> None:
    ink = np.zeros((140, 140), np.float32)
    ink[top : top + height, left : left + width] = 1
    shades = parsing.placed(ink, Habits(ground=ground, longest=longest, centre=(14, 13)), (28, 28))
    assert shades is not None
    assert shades.shape == (28, 28)
    assert 0 <= shades.min() <= shades.max() <= 1
    marked = np.abs(shades - ground) > 0.2
    rows, columns = (np.flatnonzero(marked.any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(longest, abs=1.01)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF"]))
def test_files_that_are_no_pictures_are_refused_in_a_sentence(raw: bytes, start: bytes) -> None:
    with pytest.raises(UserError, match=r"^this file is no PNG or JPEG"):
        parsing.opened(start + raw)


def test_a_picture_is_judged_before_it_is_unpacked() -> None:
    good = file_of(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    assert parsing.opened(good).shape == (40, 60, 3)
    with pytest.raises(UserError, match="no PNG or JPEG"):
        parsing.opened(good[: len(good) // 2])
    huge = bytearray(good)
    huge[16:24] = (60_000).to_bytes(4, "big") * 2  # what the header says, of a few kB
    with pytest.raises(UserError):
        parsing.opened(bytes(huge))
    bomb = io.BytesIO()
    Image.new("1", (6000, 5000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 10_000
    with pytest.raises(UserError, match=r"6,000 x 5,000 pixels; take one of at most 25 million"):
        parsing.opened(bomb.getvalue())
    with pytest.raises(UserError, match=r"5\.1 MB; take one of at most 5 MB"):
        parsing.opened(bytes(5_100_000))
    gif = io.BytesIO()
    Image.new("L", (9, 9)).save(gif, "GIF")
    with pytest.raises(UserError, match="no PNG or JPEG"):
        parsing.opened(gif.getvalue())


def test_what_is_transparent_is_white_and_what_lies_on_its_side_is_turned() -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[2:4, 2:4] = (255, 0, 0, 255)
    found = parsing.opened(file_of(clear))
    assert found[0, 0].tolist() == [1, 1, 1]
    assert found[2, 2].tolist() == [1, 0, 0]
    out, picture = io.BytesIO(), Image.new("RGB", (30, 10), "white")
    exif = picture.getexif()
    exif[0x0112] = 6  # a phone held upright
    picture.save(out, "JPEG", exif=exif)
    assert parsing.opened(out.getvalue()).shape == (30, 10, 3)


@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (3, 5, 6), (5, 6, 1), (5, 6, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_picture_becomes_the_input_that_it_would_be_shown_for(shape: tuple[int, ...], dtype: str) -> None:
    form = InputFormat(kind="image", shape=shape, dtype=dtype, low=0.0, high=16.0)
    x = np.random.default_rng(0).integers(0, 17, (1, *shape)).astype(np.float32)
    images = charts_images.as_images(x, form.low, form.high)
    assert images is not None
    again = parsing.as_input(images[0], form, 0.0, 16.0)
    assert again.dtype == np.float32
    assert np.allclose(again, x[0], atol=1e-5)


def test_the_object_of_a_photograph_is_found_on_light_and_dark_ground() -> None:
    for ground, thing in ((1.0, 0.2), (0.1, 0.9)):
        picture = np.full((40, 60, 3), ground, np.float32)
        picture[10:30, 20:26] = thing
        ink = parsing.lone_object(picture)
        assert set(map(tuple, np.argwhere(ink > 0.5))) == {(r, c) for r in range(10, 30) for c in range(20, 26)}
    whole = parsing.fitted(np.random.default_rng(0).random((40, 60, 3)).astype(np.float32), (12, 12), 3)
    assert whole.shape == (12, 12, 3)
    assert np.ptp(whole[:2].reshape(-1, 3), axis=0).max() == pytest.approx(0), "the ring around it is of one shade"


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=12))
def test_shares_add_up(scores: list[int]) -> None:
    parts = parsing.shares(np.array(scores, np.float32))
    assert parts.sum() == pytest.approx(1)
    assert parts[int(np.argmax(np.array(scores, np.float32)))] == parts.max()


def opened(run: str, width: int) -> AppTest:
    at = open_page(run=run, width=str(width))
    at.session_state["try-open"] = True
    return well(at.run())


def said(at: AppTest) -> list[tuple[str, str]]:
    """Labels and shares of each bar."""
    bars = [bar.proto.text.replace("\\", "").replace("\u2060", "") for bar in at.get("progress")]
    return [(text.rsplit(":", 1)[0], text.rsplit(":", 1)[1]) for text in bars]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grey", "points"])
def test_both_sizes_say_of_a_test_example_what_was_measured(place: Place, kind: str) -> None:
    run = Run(place(kind))
    examples, labels = run.examples(), run.record.labels
    at = open_page(run=kind, width="2")
    assert not at.get("progress"), "closed, it runs nothing"
    at = opened(kind, 2)
    if kind != "points":
        (way,) = (radio for radio in at.radio if radio.label == "Your example")
        assert way.options == ["Upload a picture", "Take a test example"], "nobody draws a 'kind 0'"
        at = well(way.set_value("Take a test example").run())
    for row in (0, 5):
        at = well(at.selectbox(key=f"try-row-{kind}").set_value(row).run())
        bars = said(at)
        assert len(bars) == 6
        for k, width in enumerate((2, 12)):
            assert bars[3 * k][0] == labels[run.predicted(width)[examples["index"][row]]]
            shares = [float(re.sub("[^0-9.]", "", share)) for _, share in bars[3 * k : 3 * k + 3]]
            assert shares == sorted(shares, reverse=True)
        text = texts(at)
        assert ("Both sizes say" in text) == (bars[0][0] == bars[3][0]) != ("They differ" in text)
        assert f"It is {labels[examples['y'][row]]}." in text


def test_a_turned_cloud_is_another_input(place: Place) -> None:
    place("points")
    at = opened("points", 12)
    before = said(at)
    at = well(at.slider(key="try-turn-points").set_value(90).run())
    assert said(at) != before
    assert re.search(r"It is kind \d\.", texts(at)), "turned, it is still what it was"


def test_numbers_are_typed(place: Place) -> None:
    run = Run(place("numbers"))
    examples = run.examples()
    at = opened("numbers", 3)
    assert [field.label.replace("\\", "") for field in at.text_input][-5:] == [f"column {k}" for k in range(5)]
    first = examples["x"][0].astype(float)
    assert [read_number(field.value) for field in at.text_input][-5:] == pytest.approx(first.tolist())
    told = [float(number) for number in re.findall(r"units\)?: <b>amount 0 (-?[\d.e+]+)", texts(at))]
    wanted = [float(run.predicted(width)[examples["index"][0], 0]) for width in (3, 12)]
    assert told == pytest.approx(wanted, rel=1e-3)
    assert "Truth" in texts(at)
    text = texts(at)
    at = well(at.text_input(key="try-number-numbers-0-2").set_value(f"{first[2] + 5:.4f}".replace(".", ",")).run())
    assert texts(at) != text
    assert "Truth" not in texts(at), "of numbers of one's own nobody knows it"
    assert re.search(r"They are [\d.]+ apart; the typical error of this size is [\d.]+", texts(at))


@pytest.mark.parametrize("kind", ["picture", "own"])
def test_where_nothing_can_be_tried_it_is_said_or_left_out(place: Place, kind: str) -> None:
    path = place("picture" if kind == "picture" else "grey")
    if kind == "own":
        edit_record(path, lambda record: record["family"].update(name=None))
    at = well(open_page(run=path.name, width="5"))
    assert ("Try it" in texts(at)) == (kind == "own")
    assert not [box for box in at.expander if "of your own" in box.label]
    assert ("program of its owner's, which is not stored" in texts(at)) == (kind == "own")


def test_weights_that_are_damaged_are_said_in_a_sentence(place: Place) -> None:
    path = place("points")
    raw = bytearray((path / "model.safetensors").read_bytes())
    raw[-40] ^= 0x55
    (path / "model.safetensors").write_bytes(raw)
    try_it_panel._program.cache_clear()
    at = opened("points", 3)
    assert any("does not hold the weights" in error.value.replace("\\", "") for error in at.error)
    assert not said(at)
