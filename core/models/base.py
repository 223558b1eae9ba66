"""The parts of a model of the registry (`Model`), and the checks that every model's settings go through.

Settings come from anybody's run.json and are written into programs, so each of them is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.elastic.family import Family
    from core.models.onnx_graph import Graph

Settings = Mapping[str, Any]
MOST_FEATURES = 10**8
MOST_CLASSES = 100_000
WIDEST = 65_536


@dataclass(frozen=True, kw_only=True)
class Model:
    """A kind of network that a run can name.

    Parameters
    ----------
    family
        Function from keyword settings to a `Family`. Raises UserError for a setting that is out of range.
    net
        Dotted name of the module with its plain PyTorch, which imports torch and the standard library alone: its text
        is copied into downloads.
    call
        Function from settings and widths to the expression that builds that size, such as `mlp(inputs=4, ...)`.
    fit
        Function from a data set to the settings that data determine. Raises UserError for data of another kind.
    meaning
        One plain phrase for lists of models.
    width
        The setting that is its largest width.
    recipe
        Recipe settings that suit the model better than the recipe's defaults.
    special
        Whether it is made for one kind of data, and so is the default for data that it can be fitted to.
    graph
        Function that adds the model's nodes to a `Graph` and returns the name of the output; without one, ONNX files
        are made by torch's exporter.
    free_axes
        Axes of one input example whose length the model leaves open in an ONNX file.
    """

    family: Callable[..., Family]
    net: str
    call: Callable[[Settings, Mapping[str, int]], str]
    fit: Callable[[Dataset], dict[str, Any]]
    meaning: str
    width: str = "hidden"
    recipe: Settings = field(default_factory=dict)
    special: bool = False
    graph: Callable[[Graph, Settings], str] | None = None
    free_axes: tuple[int, ...] = ()


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a setting that is a whole number from low to high. Raises UserError for any other value."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} is {value!r}; choose a whole number from {low:,} to {high:,}")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    """Return a setting that is a number from low to high. Raises UserError for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"{name} is {value!r}; choose a number from {low:g} to {high:g}")
    return float(value)


def call_text(function: str, **arguments: float) -> str:
    """Return a call with keyword arguments as Python text."""
    return f"{function}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def has_classes(data: Dataset) -> bool:
    """Whether the data's targets are classes."""
    from core.tasks.registry import task

    return task(data.task).classes


def described(data: Dataset) -> str:
    """Return a data set's kind, shape and task, for an error."""
    return f"{data.input.kind} of shape {data.input.shape} for the task {data.task}"


def fit_pictures(data: Dataset) -> dict[str, Any]:
    """Return the settings of a model for square pictures of one channel. Raises UserError for other data."""
    shape = data.input.shape
    if not has_classes(data) or len(shape) != 2 or shape[0] != shape[1]:
        raise UserError(
            f"it needs square pictures of one channel with labels, examples of {data.name} are {described(data)}"
        )
    return {"classes": data.classes, "size": shape[0]}
