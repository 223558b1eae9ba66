"""Validate the widths of a run that were not validated before, and write the two tables with all that were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError
from core.runs.file_names import METRICS, PARTIAL, PREDICTIONS
from core.runs.run import Run
from core.sweep.budget import AGAINST_FULL
from core.sweep.progress import Partial
from core.sweep.tables import against_last, metrics_table, predictions_table
from core.utils.parquet import check_numbers, write_table
from core.utils.signals import Interrupted

if TYPE_CHECKING:
    import pandas as pd

    from core.data.dataset import Dataset
    from core.sweep.evaluator import Evaluator, Scores

Validated = tuple["pd.DataFrame", dict[int, np.ndarray]]  # metrics, and predictions by width


def validated(run: Run, key: Mapping[str, Any]) -> Validated | None:
    """Metrics and predictions at the widths validated before; None where none were, or `key` is another one's."""
    for name in (METRICS, PREDICTIONS):
        note = run.note(name)
        if any(note.get(entry) != value for entry, value in key.items()):
            return None
    try:
        metrics, predictions = run.metrics(), run.predictions()
        sizes = [f"width_{name}" for name in run.layout.widths]
        check_numbers(METRICS, metrics, [*run.task.number_columns, *AGAINST_FULL, *sizes])
    except RunError:
        return None
    if run.task.classes and f"per_class_{run.task.metric.name}" not in metrics:
        return None
    answers = {int(w): run.answers(predictions, f"w{w}") for w in metrics["width"]}
    by_width = {width: predicted for width, predicted in answers.items() if predicted is not None}
    return metrics[metrics["width"].isin(by_width)].reset_index(drop=True), by_width


def validate(
    run: Run,
    evaluator: Evaluator,
    todo: Sequence[int],
    data: Dataset,
    key: Mapping[str, Any],
    before: Validated | None,
    *,
    progress: bool,
    stopped: Callable[[], bool],
) -> None:
    """Score validation and test part at the widths `todo`, then write both tables.

    Parameters
    ----------
    run
        The run that the tables are kept with.
    evaluator
        Runs the widths `todo` and, as the last one, full size.
    todo
        Widths to add to the tables.
    data
        The run's data.
    key
        Version, weights and data, by which the tables are told to be up to date.
    before
        Result of `validated`, which the tables also keep.
    progress
        Whether to show a progress bar.
    stopped
        Whether to stop after the current block of rows.

    Raises
    ------
    Interrupted
        Once `stopped` is true; the state is on disk.
    RunError
        Where the disk refuses.
    """
    import pandas as pd

    widths = list(evaluator.widths)
    scores = _scores(run, evaluator, data, {**key, "widths": widths}, progress=progress, stopped=stopped)
    frame = metrics_table(run, data, scores, evaluator)
    each = run.task.score(scores["validation"].predictions, data.validation.y)  # (n, widths), the last is full size
    frame[AGAINST_FULL[0]], frame[AGAINST_FULL[1]] = against_last(each)
    frame = frame[frame["width"].isin(todo)].reset_index(drop=True)
    columns = {width: scores["test"].predictions[..., k] for k, width in enumerate(widths) if width in todo}
    if before is not None:
        frame = pd.concat([before[0], frame], ignore_index=True).sort_values("width", ignore_index=True)
        columns |= before[1]
    note = {**key, "widths": [int(width) for width in frame["width"]]}
    write_table(run.path / PREDICTIONS, predictions_table(run.task, data.test, columns), note)
    write_table(run.path / METRICS, frame, note)


def _scores(
    run: Run,
    evaluator: Evaluator,
    data: Dataset,
    note: Mapping[str, Any],
    *,
    progress: bool,
    stopped: Callable[[], bool],
) -> dict[str, Scores]:
    """Scores of the validation and the test part, from where an interrupted sweep was. Raises Interrupted."""
    from tqdm import tqdm

    scores: dict[str, Scores] = {}
    partial = Partial(run.path / PARTIAL, note)
    total = data.validation.n + data.test.n
    with tqdm(total=total, disable=not progress, unit="example", desc="validating widths", dynamic_ncols=True) as bar:
        for name in ("validation", "test"):
            part = data.part(name)
            state = partial.restore(name, evaluator.start(part.n, len(data.labels)))
            before = sum(other.rows for other in scores.values())
            bar.update(state.rows)
            for _ in evaluator.advance(state, part.x, part.y):
                done = before + state.rows
                bar.update(done - bar.n)
                stop = stopped()
                partial.keep(name, state, at_once=stop)
                if stop:
                    again = f"python -m core sweep {run.path} continues"
                    raise Interrupted(f"stopped after {done} of {total} examples; nothing is lost: {again}")
            scores[name] = state
    return scores
