"""Regression: one or more numbers for each example, judged by root mean square error and R²."""

import math

from core.tasks.base import Metric, Task

RMSE = Metric(
    name="rmse",
    label="Typical error",
    unit="",
    scale=1.0,
    decimals=3,
    significant=True,
    higher_is_better=False,
    difference_unit="",
    meaning="How far predictions typically are from the truth, in the units of what is predicted (root mean square).",
    of=lambda mean, variance: math.sqrt(mean),
)

R2 = Metric(
    name="r2",
    label="Explained share",
    unit=" %",
    scale=100.0,
    decimals=1,
    higher_is_better=True,
    difference_unit="points",
    meaning="How much of the variation the model explains; 0 % is as good as always answering the average (R²).",
    of=lambda mean, variance: 1 - mean / variance if variance > 0 else float(mean == 0),
)

REGRESSION = Task(
    name="regression",
    loss="mse_loss",
    metrics=(RMSE, R2),
    example="example",
    classes=False,
    goal="predicts numbers",
)
