"""A winner is named only among runs that were tested on the same examples, and those are the runs on offer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from app.store.significance import chance, paired
from core.tasks.classification import CLASSIFICATION
from core.tasks.regression import REGRESSION
from tests.helpers.app import SAMPLES, copy_run, edit_record, go, open_page, texts, well


@pytest.fixture
def two_sets(digits: Path) -> Path:
    """The two runs on digits, and one of the same kind that had another test."""
    other = copy_run(digits, "digits-paper", "another-test")
    edit_record(other, lambda record: record["data"].update(test_fingerprint="of other examples"))
    return digits


@pytest.mark.parametrize("opened", ["labels", "labels,agreement,all"])
def test_no_winner_across_test_sets(two_sets: Path, opened: str) -> None:
    at = well(open_page("compare", runs="digits-stratified,another-test", at="size", value="20", open=opened))
    assert "No run is called better here, as they were tested on different examples" in texts(at)
    assert not re.search(r"is better than|more than chance", texts(at))
    taken = [link.proto.label for link in at.get("page_link") if "Take" in link.proto.label]
    assert len(taken) == ("all" in opened), "but for the best of those that share the first one's test"


def test_the_runs_on_offer_share_a_test(two_sets: Path) -> None:
    at = well(open_page("compare"))
    box = at.multiselect(key="compare-runs")
    assert set(box.value) == {"digits-paper", "digits-stratified"}
    assert not [option for option in box.options if "another-test" in option]
    at = well(box.set_value([]).run())
    assert [option for option in at.multiselect(key="compare-runs").options if "another-test" in option]


def test_a_run_that_had_a_test_of_its_own_does_not_open_the_page(two_sets: Path) -> None:
    at = well(go(open_page(run="another-test"), "compare"))
    assert set(at.multiselect(key="compare-runs").value) == {"digits-paper", "digits-stratified"}
    at = well(open_page("compare", runs="another-test"))
    assert "No other run here was tested on the same examples" in texts(at)


def test_the_report_names_no_winner_across_test_sets(two_sets: Path) -> None:
    from app.compare.report import report
    from app.compare.verdict import verdicts
    from app.store.predictions import Comparison
    from core.runs.run import Run
    from tests.helpers.app import metrics_of

    runs = [Run(two_sets / name) for name in ("digits-stratified", "another-test")]
    measured = [(run, metrics_of(run.path)) for run in runs]
    shown = Comparison(measured=measured, metric=runs[0].task.metric, rows=[20, 20], question="20", against="bytes")
    assert [found.icon for found in verdicts(shown)] == ["block"]
    assert b"is better than" not in report(shown)


def test_counts_and_words_agree() -> None:
    nothing = paired(CLASSIFICATION, np.ones(9, bool), np.ones(9, bool), ("this size", "full size")).counts
    assert "hance" not in nothing, "where no example tells, chance has made no difference"
    errors, others = np.array([1.0, 1.0, 1.0, 1.0, 9.0]), np.array([2.0, 2.0, 2.0, 2.0, 0.0])
    mixed = paired(REGRESSION, errors, others, ("this size", "full size"))
    assert not mixed.first_is_better
    assert "this size is closer to the truth on 4 and full size on 1" in mixed.counts
    assert "Where this size is closer, it is by less, so full size has the smaller error on average." in mixed.counts


@pytest.mark.parametrize("p", [0.0, 0.0004, 0.009, 0.0099, 0.049, 0.49, 0.5, 0.997, 1.0])
def test_chance_is_never_said_to_be_certain(p: float) -> None:
    assert not re.search(r"in (?:100 of 100|1,?000 of 1,000|0 of)", chance(p))


def test_the_samples_open_on_a_pair_with_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTURAL_DROPOUT_STORE", str(SAMPLES))
    at = well(open_page("compare"))
    assert len(at.multiselect(key="compare-runs").value) == 2
    assert "No run is called better" not in texts(at)
