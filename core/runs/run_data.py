"""The data of a run, checked to be those that it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.data.arrays import as_dataset
from core.errors import UserError
from core.runs.run import Run

if TYPE_CHECKING:
    from core.data.dataset import Dataset

CHECKED = ("test", "validation")  # parts that figures are measured on


def data_of(run: Run, data: Dataset | tuple[Any, Any] | None = None) -> Dataset:
    """Data of a run: `data` where given, else those still in memory, else loaded by name.

    Raises UserError where they can't be loaded, or the test or validation part is not the one of the training.
    """
    dataset = (run.dataset or _load(run)) if data is None else as_dataset(data)
    for part in CHECKED:
        fingerprint, expected = dataset.split_fingerprint(part), run.record.data.get(f"{part}_fingerprint")
        if fingerprint != expected:
            raise UserError(
                f"the {part} part is not what run {run.id} was trained with (fingerprint {fingerprint[:12]}, expected "
                f"{str(expected)[:12]}); give the data it was trained on"
            )
    return dataset


def _load(run: Run) -> Dataset:
    from core import data

    try:
        return data.load(str(run.record.data.get("name")))
    except UserError as error:
        raise UserError(f"run {run.id} is validated on its data, as in sweep(run, data): {error}") from None
