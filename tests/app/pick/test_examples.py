"""Single examples: the picture a size paints, and what it says of a few examples beside what is true."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load, load_file, save_file
from streamlit.testing.v1 import AppTest

from app.charts import images
from core.runs.run import Run
from core.tasks.classification import CLASSIFICATION
from core.tasks.regression import REGRESSION
from tests.helpers.app import edit_record, handed_over, live_parts, metrics_of, open_page, slider, texts, well
from tests.helpers.app_runs import PICTURE
from tests.helpers.properties import tries

Place = Callable[..., Path]


def pixels(address: str) -> np.ndarray:
    """A picture from its address."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,")))))


def shown(at: AppTest) -> list[tuple[str, str, str]]:
    """Each figure on the page: its picture's address, its alt text and its caption, as text."""
    live = [(card["image"], card["alt"], card["caption"]) for part in live_parts(at) for card in part["cards"]]
    body = "".join(element.proto.body for element in at.get("html"))
    found = re.findall(r'<img src="([^"]*)" alt="([^"]*)"><figcaption>(.*?)</figcaption>', body)
    return live + [(src, html.unescape(alt), html.unescape(re.sub("<[^>]*>", " ", text))) for src, alt, text in found]


def test_the_picture_is_what_the_size_predicts(place: Place) -> None:
    run = Run(place("picture"))
    seen = set()
    for width in (1, 5, 12):
        (made, alt, caption), (original, original_alt, _) = shown(well(open_page(run="picture", width=str(width))))
        assert pixels(made).shape == (*PICTURE, 3)
        assert np.abs(pixels(made) - 255 * run.predicted(width).reshape(*PICTURE, 3)).max() < 1
        assert np.abs(pixels(original) - 255 * run.targets().reshape(*PICTURE, 3)).max() < 1
        assert "original" in original_alt
        assert f"{width} unit" in alt
        assert "dB" in caption
        seen.add(made)
    assert len(seen) == 3


@pytest.mark.parametrize("kind", ["grey", "colours"])
def test_pictures_of_examples_with_what_is_said_of_them(place: Place, kind: str) -> None:
    run = Run(place(kind))
    examples = run.examples()
    truth = dict(zip(examples["index"].tolist(), examples["y"].tolist(), strict=True))
    assert all(run.targets()[row] == label for row, label in truth.items())
    for width in (1, 12):
        at = well(open_page(run=kind, width=str(width)))
        figures = shown(at)
        assert len(figures) == 8
        right = 0
        for src, alt, caption in figures:
            assert pixels(src).shape == ((9, 7) if kind == "grey" else (9, 7, 3))
            says = re.search(r"says (kind \d)", caption)
            assert says
            right += says[1] in alt
            assert ("✓ right" in caption) == (says[1] in alt) != ("✗ wrong" in caption)
            assert says[1] in alt or alt.removeprefix("Example: ") in caption, "what is true is said too"
        assert f"{right} of these 8 right" in texts(at)


def test_clouds_of_points(place: Place) -> None:
    place("points")
    at = well(open_page(run="points", width="12"))
    spec, alt = at.get("plotly_chart")[1].proto.spec, at.get("plotly_chart")[1].proto.alt
    figure = json.loads(spec)
    go.Figure(figure)
    assert [trace["type"] for trace in figure["data"]] == ["scatter3d"] * 4
    assert all(len(trace["z"]) == 30 for trace in figure["data"])
    for note in figure["layout"]["annotations"]:
        assert re.search(r"(✓ right|✗ wrong)<br>says kind \d", note["text"])
    assert alt.count("says kind") == 4


@pytest.mark.parametrize(("kind", "columns"), [("numbers", 5), ("small-numbers", 0), ("array", 0)])
def test_a_table_of_examples(place: Place, kind: str, columns: int) -> None:
    run = Run(place(kind))
    at = well(open_page(run=kind, width="6"))
    (table,) = (frame.value for frame in at.dataframe if "This size predicts" in frame.value)
    assert len(table) == 8
    assert len(table.columns) == 4 + columns
    predicted, targets, labels = run.predicted(6), run.targets(), run.record.labels
    for number, says, truth, verdict in table.iloc[:, :4].itertuples(index=False):
        row = int(number) - 1
        assert says == run.task.say(predicted[row], labels)
        assert truth == run.task.say(targets[row], labels)
        assert verdict.startswith("off by") if kind != "array" else (verdict == "✓ right") == (says == truth)


@pytest.mark.parametrize("damage", ["no predictions", "no examples", "rows of nowhere", "picture of another size"])
def test_what_can_not_be_shown_is_left_out(place: Place, damage: str) -> None:
    for kind in ("grey", "picture"):
        run = place(kind)
        if damage == "no predictions":
            (run / "predictions.parquet").unlink()
        elif damage == "no examples":
            (run / "examples.safetensors").write_bytes(b"junk")
        elif damage == "rows of nowhere":
            arrays = load_file(run / "examples.safetensors")
            save_file({**arrays, "index": arrays["index"] + 10**6}, run / "examples.safetensors")
        elif kind == "picture":
            edit_record(run, lambda record: record["data"].update(picture=[7, 7]))
        at = well(open_page(run=kind))
        gone = damage == "no predictions" or (damage == "picture of another size") == (kind == "picture")
        assert bool(shown(at)) != gone
        assert slider(at)


@pytest.mark.slow
def test_sizes_of_batch_statistics_can_all_be_taken(place: Place) -> None:
    run = Run(place("batch-norm"))
    measured = metrics_of(run.path)["width"].tolist()
    unmeasured = sorted(set(range(1, 81)) - set(measured))
    assert unmeasured, "there is a size to be kept from"
    at = well(open_page(run="batch-norm", width=str(unmeasured[0])))
    assert [row["width"] for row in slider(at)["rows"]] == measured
    assert slider(at)["width"] in measured
    assert "not measured" in texts(at)
    for width in measured[:: max(1, len(measured) // 6)]:
        at = well(open_page(run="batch-norm", width=str(width)))
        state = load(handed_over(at))
        for name, value in run.statistics(run.widths_at(width)).items():
            assert np.array_equal(state[name], value)
        assert state["1.running_mean"].shape == (width,)
    assert shown(at), "channels first, one of them: a picture"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 8))
def test_examples_of_every_label_come_before_a_second_of_one(y: list[int], count: int) -> None:
    labels = np.array(y)
    rows = images.spread(CLASSIFICATION, labels, count)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(y))
    assert len(set(labels[rows])) == min(count, len(set(y)))
    rows = images.spread(REGRESSION, labels[:, None].astype(np.float32), count)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(y))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(1, 40))
@tries(40)
def test_a_picture_survives_its_address(height: int, width: int, colours: int, longest: int) -> None:
    values = np.random.default_rng(height * width).random((height, width, colours))
    found = pixels(images.data_uri(values, longest))
    step = -(-max(height, width) // longest)
    assert max(found.shape[:2]) <= longest
    wanted = np.round(255 * values[::step, ::step])
    assert np.array_equal(found.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (3, 5, 6), (5, 6, 1), (5, 6, 3)])
@pytest.mark.parametrize(("low", "high"), [(None, None), (0.0, 255.0)])
def test_channels_may_come_first_or_last(shape: tuple[int, ...], low: float | None, high: float | None) -> None:
    x = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    found = images.as_images(x, low, high)
    assert found is not None
    assert found.shape == (4, 5, 6, 3 if 3 in shape else 1)
    assert 0 <= found.min() <= found.max() <= 1
    assert images.as_images(x.reshape(4, -1), low, high) is None


@pytest.mark.parametrize("said", [None, "12x20", [12], [12, 21], [-12, -20], [True, 240], [12.0, 20], [[12], 20]])
def test_a_record_that_tells_no_picture(kinds: Callable[[str], Path], said: object) -> None:
    record = Run(kinds("picture")).record
    assert images.picture_shape(record, 240) == PICTURE
    record.data["picture"] = said
    assert images.picture_shape(record, 240) is None


@given(st.text(max_size=80))
@tries(50)
def test_labels_are_text_wherever_they_stand(label: str) -> None:
    answers = images.said(CLASSIFICATION, (label, "b"), np.array([0, 1, 0]), np.array([0, 0, 1]))
    assert [answer.right for answer in answers] == [True, False, False]
    body = images.cards(["data:,"] * 3, answers)
    bare = re.sub(r'</?(div|figure|figcaption|b|br)( class="[a-z ]+")?>|<img src="data:," alt="[^"<>]*">', "", body)
    assert not set("<>") & set(bare)
    chart = images.clouds(np.zeros((3, 5, 3), np.float32), answers, dark=True)
    go.Figure(chart)
    assert all(set(re.findall("<[^>]*>", n["text"])) == {"<br>"} for n in chart["layout"]["annotations"])
