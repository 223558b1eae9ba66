"""The diabetes table of scikit-learn, a regression task."""

from __future__ import annotations

from core.data.arrays import from_arrays
from core.data.dataset import Dataset


def diabetes() -> Dataset:
    """442 patients, ten measurements each, and how far their diabetes had gone a year later; in scikit-learn."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    return from_arrays(
        bunch.data,
        bunch.target,
        name="diabetes",
        task="regression",
        labels=["disease progression"],
        columns=bunch.feature_names,
        test=0.2,
        validation=0.2,
        source="442 patients with diabetes, ten measurements each, and how far the disease had gone a year later "
        "(Efron et al., 2004, as in scikit-learn)",
    )
