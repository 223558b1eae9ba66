"""The parts of Compare runs that open: label by label, who says the same, and the best run of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.compare import agreement, frontier, per_class
from app.store import predictions as store_predictions
from core.runs.run import Run
from core.tasks.classification import ACCURACY
from core.tasks.statistics import wilson_interval
from tests.helpers.app import copy_run, edit_metrics, edit_record, field, metrics_of, open_page, texts, well

PAIR = ("digits-paper", "digits-stratified")
WIDTH = 9


def opened(part: str, **query: str) -> AppTest:
    wanted = {"runs": ",".join(PAIR), "at": "width", "value": str(WIDTH), "open": part}
    return well(open_page("compare", **{**wanted, **query}))


def said(store: Path, name: str, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions, read anew."""
    frame = Run(store / name).predictions(width)
    return frame["label"].to_numpy(), frame[f"w{width}"].to_numpy()


def table_with(at: AppTest, column: str) -> pd.DataFrame:
    (found,) = [table.value for table in at.dataframe if column in table.value.columns]
    return found


def test_what_is_closed_computes_nothing(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("computed for a closed part")

    monkeypatch.setattr(per_class, "by_class", forbidden)
    monkeypatch.setattr(agreement, "agreements", forbidden)
    monkeypatch.setattr(frontier, "field", forbidden)
    at = opened("")
    assert len(at.get("plotly_chart")) == 1
    assert "open" not in at.query_params


def test_label_by_label(digits: Path) -> None:
    at = opened("labels")
    table = table_with(at, "Label").set_index("Label")
    shares = {}
    for name in PAIR:
        labels, predicted = said(digits, name)
        for k in range(10):
            right = (predicted == labels)[labels == k]
            low, high = wilson_interval(int(right.sum()), len(right))
            shares[name, k] = right.mean()
            wanted = f"{ACCURACY.format(right.mean())} ({ACCURACY.format_interval(low, high)})"
            assert table.loc[str(k), name] == wanted
    gaps = [abs(shares[PAIR[0], k] - shares[PAIR[1], k]) for k in range(10)]
    farthest = int(np.argmax(gaps))
    assert table.index[0] == str(farthest)
    assert f"They differ most on {farthest}: " in texts(at)
    assert f"{100 * gaps[farthest]:.1f} points" in texts(at)


def test_the_farthest_of_many_labels_is_not_taken_for_sure(digits: Path) -> None:
    """Two runs that differ by luck alone: on their farthest label, that is said."""
    rng = np.random.default_rng(0)
    run = Run(digits / PAIR[0])
    targets = np.repeat(np.arange(10), 30)
    told = 0
    for _ in range(100):
        pair = []
        for _ in range(2):
            right = rng.random(len(targets)) < 0.8
            pair.append(
                store_predictions.Answers(
                    run=run, width=1, predicted=np.where(right, targets, -1), targets=targets, scores=right
                )
            )
        found = per_class.by_class(pair)
        assert found is not None
        told += "may be chance" not in found.sentence
    assert told <= 12, "at most about one in twenty"
    right = np.ones(len(targets), bool)
    wrong = right & (targets != 3)
    made = [
        store_predictions.Answers(run=run, width=1, predicted=np.where(s, targets, -1), targets=targets, scores=s)
        for s in (right, wrong)
    ]
    found = per_class.by_class(made)
    assert found is not None
    assert found.sentence.startswith("They differ most on 3: ")
    assert "more than chance" in found.sentence


@pytest.mark.slow
def test_who_says_the_same(digits: Path) -> None:
    at = opened("agreement")
    labels, a = said(digits, PAIR[0])
    _, b = said(digits, PAIR[1])
    same, n = int((a == b).sum()), len(a)
    first, second = int(((a != b) & (a == labels)).sum()), int(((a != b) & (b == labels)).sum())
    assert f"say the same on {same:,} of {n:,} test examples" in texts(at)
    assert (
        f"Of the other {n - same:,}, {PAIR[0]} is right on {first:,}, {PAIR[1]} on {second:,}, and neither on "
        f"{n - same - first - second:,}."
    ) in texts(at)
    table = table_with(at, "Say the same")
    assert table["Only first right"].tolist() == [f"{first:,}"]
    copy_run(digits, PAIR[0], "twin")
    at = opened("agreement", runs="digits-paper,twin")
    assert f"say the same on {n:,} of {n:,}" in texts(at)
    assert "Of the other" not in texts(at)


@pytest.mark.slow
def test_runs_on_other_examples_are_not_said_to_agree(digits: Path) -> None:
    edit_record(digits / PAIR[0], lambda record: record["data"].update(test_fingerprint="0" * 64))
    at = opened("agreement,labels")
    assert "This can't be worked out for these runs" in texts(at)
    assert "say the same on" not in texts(at)
    assert "so a difference may come from the data" in texts(at), "the labels are the same, so they are side by side"
    assert table_with(at, "Apart") is not None
    edit_record(digits / PAIR[0], lambda record: record.update(labels=[f"kind {k}" for k in range(10)]))
    assert "They differ most on" not in texts(opened("labels"))


@pytest.mark.slow
def test_numbers_and_pictures_have_parts_of_their_own(place: Callable[..., Path]) -> None:
    for kind, example in (("numbers", "example"), ("picture", "pixel")):
        place(kind)
        place(kind, f"{kind}-2")
        at = opened("labels,agreement,all", runs=f"{kind},{kind}-2", at="size", value="100")
        assert f"test {example}s, {kind} is closer to the truth on 0 and {kind}-2 on 0" in texts(at)
        assert not [part for part in at.expander if part.label == "Label by label"]
        assert "take " in texts(at)


def best_of(store: Path, max_bytes: float) -> pd.Series:
    """The best row of all runs of the store, worked out anew."""
    rows = pd.concat([metrics_of(path).assign(run=path.name) for path in sorted(store.iterdir())])
    inside = rows[rows["bytes"] <= max_bytes]
    return inside.sort_values(["validation_accuracy", "bytes"], ascending=[False, True], kind="stable").iloc[0]


@pytest.mark.parametrize("budget", ["2", "6.5", "50", "500"])
def test_which_run_at_a_size(digits: Path, budget: str) -> None:
    wanted = best_of(digits, 1e3 * float(budget))
    at = opened("all", budget=budget)
    units = f"{wanted['width']} unit" + ("s" if wanted["width"] > 1 else "")
    assert f"At {budget} kB, take {wanted['run']} at {units}: {100 * wanted['accuracy']:.1f} % accuracy" in texts(at)
    assert "It is the best of 2 runs" in texts(at)
    table = table_with(at, "Against the first")
    assert table["Run"].iloc[0] == wanted["run"]
    assert at.query_params["budget"] == budget
    assert [link.label for link in at.page_link].count(f"Take {wanted['run']} at {units}".replace("-", "\\-")) >= 1
    stretches = table_with(at, "Best run")
    assert len(stretches) >= 1
    assert stretches["Best run"].ne(stretches["Best run"].shift()).all()


def test_a_size_below_all(digits: Path) -> None:
    at = opened("all", budget="0.1")
    assert "No run has a size of at most 0.1 kB." in texts(at)
    assert "The smallest of 2 runs" in texts(at)


def test_only_comparable_runs_are_looked_through_and_damaged_ones_are_said(
    digits: Path, place: Callable[..., Path]
) -> None:
    place("numbers")
    edit_record(copy_run(digits, PAIR[0], "elsewhere"), lambda r: r["data"].update(test_fingerprint="0" * 64))
    edit_metrics(copy_run(digits, PAIR[0], "bad"), lambda frame: frame.drop(columns="accuracy_low"))
    at = opened("all")
    assert "the best of 2 runs" in texts(at)
    assert "1 run is left out" in texts(at)


def test_many_runs_are_read_a_part_at_a_time_and_once(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_run(digits, PAIR[0], "third")
    runs = [Run(path) for path in sorted(digits.iterdir())]
    found = frontier.field(runs, runs[0], seconds=-1.0)
    assert (found.unread, len(found.runs)) == (3, 0)
    assert frontier.field(runs, runs[0]).unread == 0
    again = frontier.field(runs, runs[0], seconds=-1.0)
    assert (again.unread, len(again.runs)) == (0, 3), "what was read once is not read again"
    looks, whole = [], frontier.field

    def slow(runs: list[Run], like: Run) -> frontier.Field:
        looks.append(len(looks))
        return whole(runs, like) if len(looks) > 2 else whole(runs, like, seconds=-1.0)

    monkeypatch.setattr(frontier, "field", slow)
    at = opened("all")
    assert "the best of 3 runs" in texts(at)
    assert len(looks) == 3, "the page reads on until all are read"


def test_the_best_never_gets_worse_with_size(digits: Path) -> None:
    runs = [Run(path) for path in sorted(digits.iterdir())]
    best = frontier.field(runs, runs[0]).best(ACCURACY)
    assert best["bytes"].is_monotonic_increasing
    assert best["validation_accuracy"].is_monotonic_increasing
    for row in best.to_dict("records"):
        assert best_of(digits, row["bytes"])["validation_accuracy"] == row["validation_accuracy"]


@pytest.mark.slow
def test_a_link_opens_what_was_open(digits: Path) -> None:
    first = opened("labels,agreement,all", budget="6.5")
    again = well(open_page("compare", **{k: str(v) for k, v in first.query_params.items()}))
    assert again.query_params == first.query_params
    assert again.query_params["open"] == "labels,agreement,all"
    assert texts(again) == texts(first)
    assert field(again, "compare-budget") == 6.5
    strange = opened("labels,<b>x", budget="nan")
    assert "opens a part of the page that is not known: <b>x" in texts(strange)
    assert "asks for a file size that can't be: nan" in texts(strange)
