"""Sizes that were trained on by themselves: marked on the chart, and a choice of two where the file is taken."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest

from app.charts.axes import view
from app.pick import polished
from app.store import downloads
from app.store.polished import points
from app.words import GLUE
from core.export.formats import export
from core.runs.file_names import POLISHED
from core.runs.run import Run
from core.tasks.classification import ACCURACY
from core.tasks.regression import RMSE
from core.utils.formatting import kilobytes
from tests.helpers.app import (
    DIGITS,
    button,
    copy_run,
    figure,
    handed_over,
    metrics_of,
    open_page,
    readout,
    shown_metrics,
    texts,
    unfolded,
    well,
)

WIDTH, REFITTED = 16, 4
WHICH = "download-alone"


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample run with one size trained on by itself, and another whose last layer was fitted anew."""
    from core.finetune.polish import polish
    from core.finetune.refit import refit

    run = copy_run(tmp_path_factory.mktemp("polished"), "digits-paper")
    polish(run, WIDTH, 2, progress=False)
    refit(run, REFITTED, progress=False)
    return run


@pytest.fixture
def run(store: Path, trained_on: Path) -> Run:
    for name in DIGITS:
        copy_run(store, name)
    return Run(Path(shutil.copytree(trained_on, store / "alone")))


def test_a_mark_and_a_row_of_its_own(run: Run) -> None:
    at = well(open_page(run="alone", width=str(WIDTH), axis="whole"))
    (trace,) = (t for t in figure(at)["data"] if t["name"] == polished.LEGEND)
    rows = run.polished().set_index("width")
    params = shown_metrics(run.path).set_index("width")["params"]
    assert trace["customdata"] == [REFITTED, WIDTH]
    for k, width in enumerate(trace["customdata"]):
        value = rows.loc[width, "accuracy"]
        assert trace["y"][k] == pytest.approx(100 * value)
        assert trace["x"][k] == params[width]
        assert f"{width} units" in trace["text"][k]
        assert ACCURACY.format(value) in trace["text"][k]
    assert trace["marker"]["symbol"] == ["diamond"] * 2
    assert polished.EXPLAINED in texts(at)
    assert readout(at)["value"] == ACCURACY.format(metrics_of(run.path).set_index("width").loc[WIDTH, "accuracy"])
    (table,) = (t.value for t in unfolded(at).dataframe if "How" in t.value)
    alone = table[table["How"] != "as trained together"]
    assert alone["How"].tolist() == ["last layer fitted anew", "trained on by itself"]
    assert alone["Units"].tolist() == [REFITTED, WIDTH]
    assert alone["Accuracy"].tolist() == [ACCURACY.format(rows.loc[w, "accuracy"]) for w in (REFITTED, WIDTH)]
    assert table["Units"].is_monotonic_increasing


@pytest.mark.slow
def test_nothing_where_there_is_none(run: Run) -> None:
    for query in ({"run": "digits-paper", "width": str(WIDTH)}, {"run": "alone", "width": "17"}):
        at = well(open_page(**query))
        assert [r.label for r in at.radio if r.key == WHICH] == []
    at = well(open_page(run="digits-paper"))
    assert polished.LEGEND not in {t["name"] for t in figure(at)["data"]}
    assert polished.EXPLAINED not in texts(at)
    assert ["How" in t.value for t in unfolded(at).dataframe] == [False]
    assert "python -m core polish" in texts(at), "how one is made is said all the same"


@pytest.mark.slow
@pytest.mark.parametrize("width", [WIDTH, REFITTED])
def test_either_of_the_two_can_be_taken(run: Run, width: int) -> None:
    at = well(open_page(run="alone", width=str(width)))
    at = well(at.radio(key="download-format").set_value("safetensors").run())
    row = points(run).at(width)
    assert row is not None
    captions = "\n".join(at.radio(key=WHICH).proto.captions).replace("\\", "").replace(GLUE, " ")
    gained = 100 * (row["accuracy"] - row["unpolished"])
    assert f"{gained:.1f} points above what it was" in captions
    assert captions.count(kilobytes(row["bytes"])) == 2
    assert at.radio(key=WHICH).value is False, "at first what all the figures are about"
    assert hashlib.sha256(handed_over(at)).hexdigest() == export(run, width).sha256
    at = well(at.radio(key=WHICH).set_value(True).run())
    assert f"alone-w{width}-polished.safetensors" in texts(at)
    assert hashlib.sha256(handed_over(at)).hexdigest() == export(run, width, polished=True).sha256
    said = downloads.build(run, width, "safetensors", alone=True).sentence
    assert "numbers are those of this size as it was trained on by itself" in said
    other = REFITTED if width == WIDTH else WIDTH
    at.query_params["width"] = str(other)
    at = well(at.run())
    assert at.radio(key=WHICH).value is True, "the choice stays with the visitor"
    at.query_params["width"] = "17"
    at = well(at.run())
    assert "alone-w17.safetensors" in texts(at)


def test_whether_the_examples_can_tell(run: Run) -> None:
    before, after = run.scores(REFITTED), run.polished().set_index("width").loc[REFITTED]
    assert after["accuracy"] - before.mean() > 0.15, "so much is no chance"
    assert "and the test examples can tell" in polished.gain(run, {**after.to_dict(), "width": REFITTED})
    (run.path / "predictions.parquet").unlink()
    assert polished.gain(Run(run.path), {**after.to_dict(), "width": REFITTED}).endswith("what it was")


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "of another run", "one number"])
def test_a_damaged_file_takes_nothing_else_down(run: Run, damage: str) -> None:
    path = run.path / POLISHED
    raw = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(raw[:40])
    elif damage == "of another run":
        path.rename(run.path.parent / "digits-stratified" / POLISHED)
    else:
        raw[-6000] ^= 0x55  # a weight of the larger of the two
        path.write_bytes(raw)
    name = "digits-stratified" if damage == "of another run" else "alone"
    at = well(open_page(run=name, width=str(WIDTH)))
    if damage == "one number":
        at = well(at.radio(key=WHICH).set_value(True).run())
        assert "The one that was trained together is taken" in texts(at)
    else:
        assert "Sizes that were trained on by themselves can't be shown" in texts(at)
        assert polished.LEGEND not in {t["name"] for t in figure(at)["data"]}
    assert "-polished" not in button(at)["said"]


@pytest.mark.parametrize("metric", [ACCURACY, RMSE])
@pytest.mark.parametrize("value", [0.0, 0.3, 0.95, 0.999])
def test_no_mark_leaves_the_chart(metric, value: float) -> None:
    widths = list(range(1, 21))
    values = [1 - 0.9**w if metric.higher_is_better else 0.9**w for w in widths]
    table = pd.DataFrame({"width": widths, "params": [10 * w for w in widths], metric.name: values})
    table = table.assign(**{f"{metric.name}_low": table[metric.name], f"{metric.name}_high": table[metric.name]})
    point = {metric.name: value, f"{metric.name}_low": value - 0.01, f"{metric.name}_high": value + 0.01}
    row = pd.DataFrame([{"width": 7, "params": 70, "method": "polish", "unpolished": 0.5, **point}])
    seen = view([table], metric, [None], also=row)
    (trace,) = polished.marks(row, metric, seen, dark=False)
    go.Figure({"data": [trace]})
    assert seen.low <= trace["y"][0] <= seen.high
    inside = seen.low <= value * metric.scale <= seen.high
    assert trace["marker"]["symbol"] == ["diamond" if inside else "diamond-open"]
    best = value > max(values) if metric.higher_is_better else value < min(values)
    assert inside or not best, "the axis reaches up to the better ones"
    assert polished.marks(row.iloc[:0], metric, seen, dark=True) == []
