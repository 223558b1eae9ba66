"""The bench of all methods: its gaps, and that what was stopped goes on."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

DIGITS = ("digits-mlp", None, True)
NAMES = ["dedicated", "nested", "norm-finetuned"]


def row(contender: str, seed: int, width: int, accuracy: float, seconds: float = 2.0, **more) -> dict:
    return {
        "contender": contender, "seed": seed, "width": width, "accuracy": accuracy, "validation": accuracy,
        "seconds": seconds, "dense_seconds": 2.0, "tuning_seconds": 0.0, "batch": 50, "memory_mb": 1.0,
        "chosen": json.dumps({"epochs": 3, "lr": 0.01}), **more,
    }  # fmt: skip


def by_hand() -> pd.DataFrame:
    """Dedicated at 60, 80, 90 % for widths 1, 4, 32; the other 30 and 10 points below at 1, 2 at 4, 1 above at 32."""
    rows = [row("dedicated", seed, w, a) for seed in (0, 1) for w, a in ((1, 0.6), (4, 0.8), (32, 0.9))]
    for seed, first, seconds in ((0, 0.3, 1.0), (1, 0.5, 3.0)):
        rows += [row("other", seed, w, a, seconds) for w, a in ((1, first), (4, 0.78), (32, 0.91))]
    return pd.DataFrame(rows)


def test_gaps_are_points_below_the_dedicated_model_of_the_same_seed():
    from gaps import lines

    line = lines(by_hand())[1]
    assert {w: f.mean for w, f in line.gap.items()} == pytest.approx({1: 20, 4: 2, 32: -1})
    assert line.gap[1].deviation == pytest.approx(200**0.5)
    assert line.mean_gap.mean == pytest.approx((20 + 2 - 1) / 3)
    assert line.wide_gap.mean == pytest.approx((2 - 1) / 2)  # a sixteenth of 32 is 2
    assert (line.worst[0], line.worst[1].mean) == (1, pytest.approx(20))
    assert line.time == pytest.approx(1.0)  # the median of 0.5 and 1.5
    assert (line.seeds, line.epochs, line.batch, line.chosen) == (2, 3, 50, "lr 0.01")


def test_widths_between_have_a_figure_of_their_own():
    from gaps import lines, text

    more = [("dedicated", 3, 0.7), ("dedicated", 7, 0.85), ("other", 3, 0.6), ("other", 7, 0.8)]
    rows = by_hand().assign(between=False)
    extra = [row(name, seed, w, a, between=True) for name, w, a in more for seed in (0, 1)]
    found = lines(pd.concat([rows, pd.DataFrame([*extra, row("other", 0, 15, 0.1, between=True)])], ignore_index=True))
    assert found[1].between_gap.mean == pytest.approx((10 + 5) / 2), "15 has no dedicated model"
    assert found[1].between_gap.deviation == pytest.approx(0)
    plain = lines(by_hand())
    assert (found[1].gap, found[1].mean_gap, found[1].worst) == (plain[1].gap, plain[1].mean_gap, plain[1].worst)
    assert plain[1].between_gap is None
    assert "7.50±0.00" in text(found)


def test_only_seeds_that_have_a_dedicated_model_are_compared():
    from gaps import lines

    rows = by_hand()
    line = lines(rows[(rows["contender"] != "dedicated") | (rows["seed"] == 1)])[1]
    assert line.gap[1].mean == pytest.approx(10)


def test_without_dedicated_models_there_is_no_gap_and_no_chart(tmp_path):
    from gap_chart import draw
    from gaps import lines, text

    rows = by_hand()
    found = lines(rows[rows["contender"] == "other"])
    assert found[0].gap is found[0].mean_gap is found[0].worst is None
    assert "40.00±14.14" in text(found)
    with pytest.raises(ValueError, match="dedicated"):
        draw(tmp_path / "chart.png", "title", found)


def test_the_chart_is_a_picture_and_the_table_names_everyone(tmp_path):
    from gap_chart import SIZE, draw
    from gaps import lines, text
    from PIL import Image

    found = lines(by_hand())
    draw(tmp_path / "chart.png", "title", found)
    with Image.open(tmp_path / "chart.png") as image:
        assert image.size == SIZE
        assert len(image.getcolors(10**6)) > 5
    assert text(found).count("other") == text(found).count("dedicated") == 2


@pytest.fixture
def here(monkeypatch):
    """What a contender does in a process of its own happens in this one, and is noted."""
    import quality

    calls: list[tuple] = []

    def call(function, *arguments):
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(quality, "in_fresh_process", call)
    return calls


def accuracies(results, name: str) -> list[tuple]:
    rows = results.rows[results.rows["contender"] == name].sort_values(["seed", "width"])
    return list(rows[["seed", "width", "accuracy", "chosen"]].itertuples(index=False, name=None))


def test_what_was_stopped_goes_on_to_the_result_of_an_uninterrupted_bench(here, tmp_path, monkeypatch):
    import quality
    from quality_task import load

    path = tmp_path / "rows.parquet"
    whole = quality.Results(path, fresh=True)
    assert quality.run(NAMES, DIGITS, 2, whole) == []
    wanted = {name: accuracies(whole, name) for name in NAMES}
    bench = load("digits-mlp", quick=True)
    judged = {"norm-finetuned": bench.widths}
    assert all(len(rows) == 2 * len(judged.get(name, bench.judged)) for name, rows in wanted.items())

    # stopped before the last contender of the second seed
    lost = (whole.rows["seed"] == 1) & (whole.rows["contender"] != "dedicated")
    kept = quality.Results(path, fresh=True)
    kept.rows = whole.rows[~lost]
    here.clear()
    stopped = quality.CONTENDERS["norm-finetuned"]
    monkeypatch.setitem(quality.CONTENDERS, "norm-finetuned", _stopping(stopped))
    with pytest.raises(KeyboardInterrupt):
        quality.run(NAMES, DIGITS, 2, kept)
    monkeypatch.setitem(quality.CONTENDERS, "norm-finetuned", stopped)

    resumed = quality.Results(path, fresh=False)
    assert quality.run(NAMES, DIGITS, 2, resumed) == []
    assert {name: accuracies(resumed, name) for name in NAMES} == wanted
    names = [call[0] for call in here if isinstance(call[0], str)]
    assert names == ["nested", "norm-finetuned", "norm-finetuned"]  # nothing that was known, nothing twice
    here.clear()
    assert quality.run(NAMES, DIGITS, 2, resumed) == []
    assert here == []


def _stopping(contender):
    from dataclasses import replace

    def run(bench, seed, chosen):
        raise KeyboardInterrupt

    return replace(contender, run=run)


def test_a_cut_at_full_width_is_the_dense_model_and_a_failing_contender_stops_no_other(here, tmp_path, monkeypatch):
    import quality

    def fail(bench, seed, chosen):
        raise RuntimeError("no such layer")

    from dataclasses import replace

    monkeypatch.setitem(quality.CONTENDERS, "paper", replace(quality.CONTENDERS["paper"], run=fail))
    results = quality.Results(tmp_path / "rows.parquet", fresh=True)
    skipped = quality.run(["paper", "norm-cut"], DIGITS, 1, results)
    assert skipped == ["paper has no seed 0: RuntimeError: no such layer"]
    rows = results.rows.set_index(["contender", "width"])["accuracy"]
    full = rows["dense"].index.max()
    assert rows["norm-cut"][full] == rows["dense"][full]
    assert rows["norm-cut"].index.min() == 1


def test_a_missing_package_is_said_with_how_to_install_it(here, tmp_path, monkeypatch):
    import quality

    monkeypatch.setattr(quality.importlib.util, "find_spec", lambda name: None)
    results = quality.Results(tmp_path / "rows.parquet", fresh=True)
    said = quality.run(["modelopt"], DIGITS, 1, results)
    assert said == [
        "modelopt is left out: nvidia-modelopt is missing; install it with pip install -r benchmarks/requirements.txt"
    ]
    assert here == []
    assert quality.left_out("triangular", "fashion-vit").startswith("triangular is left out of fashion-vit")


def test_other_settings_are_other_results():
    import quality
    from contenders import CONTENDERS

    keys = {quality.key_of("digits-mlp", quick, c) for quick in (False, True) for c in CONTENDERS.values()}
    same_terms = {repr((dict(c.settings), c.budget)) for c in CONTENDERS.values()}
    assert len(keys) == 2 * len(same_terms)


def test_epochs_are_what_fits_into_the_budget():
    from quality_task import load

    bench = load("digits-mlp", dense_seconds=60.0)  # of 60 epochs
    assert bench.epochs_in(1.0, lambda epochs: 10.0 + 0.5 * epochs) == 100
    assert bench.epochs_in(2.0, lambda epochs: 4.0 * epochs) == 30
    assert bench.epochs_in(1.0, lambda epochs: 500.0 * epochs) == 1
    assert bench.epochs_in(1.0, lambda epochs: 0.0) <= 20 * bench.epochs
    asked = dataclasses.replace(bench, asked_epochs=7)
    assert asked.epochs_in(1.0, lambda epochs: 1 / 0) == 7, "nothing is tried"
