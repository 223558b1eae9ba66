"""Classification: one label for each example, judged by accuracy."""

from core.tasks.base import Metric, Task

ACCURACY = Metric(
    name="accuracy",
    label="Accuracy",
    unit=" %",
    scale=100.0,
    decimals=1,
    higher_is_better=True,
    difference_unit="points",
    meaning="How many of a hundred examples the model gets right.",
)

CLASSIFICATION = Task(
    name="classification",
    loss="cross_entropy",
    metrics=(ACCURACY,),
    example="example",
    classes=True,
    goal="tells which label an example has",
)
