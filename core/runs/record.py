"""RunRecord: the content of run.json, checked entry by entry. No file is touched here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from core.elastic.layout import Layout
from core.elastic.scale import Scale
from core.errors import RunError, UserError
from core.runs.file_names import RECORD
from core.runs.layout_json import read_layout
from core.tasks.registry import task

if TYPE_CHECKING:
    from core.data.input_format import InputFormat

SCHEMA = 1
MOST_BANDS = 256  # each is a network of its own

ENTRIES = {
    "family": dict, "task": str, "labels": list, "input": dict, "data": dict, "recipe": dict, "scale": dict,
    "training": dict, "weights_sha256": str, "versions": dict, "created": str, "layout": dict,
}  # fmt: skip
INNER_ENTRIES: dict[str, dict[str, Any]] = {  # optional entries and their types
    "family": {"name": str | None, "settings": dict},
    "data": {
        "name": str, "source": str, "fingerprint": str, "validation_fingerprint": str, "test_fingerprint": str,
        "train_n": int, "validation_n": int, "test_n": int, "warnings": list,
    },
    "recipe": {"name": str, "epochs": int, "lr": float | int},
    "training": {"seed": int, "plan": str, "device": str, "seconds": float | int, "history": list, "probe": list,
                 "start": dict},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Everything that is needed to understand, evaluate and export a run."""

    family: dict[str, Any]  # registry name (None for a user's own factory) and settings
    layout: Layout
    task: str
    labels: tuple[str, ...]
    input: InputFormat
    data: dict[str, Any]  # name, source, fingerprint, number of examples in each part
    recipe: dict[str, Any]  # name and settings
    scale: dict[str, Any]  # exponent, and the tensors it applies to
    training: dict[str, Any]  # seed, plan, device, threads, seconds, history, probe scores
    weights_sha256: str
    statistics: tuple[str, ...] = ()  # buffers that are estimated anew at each width
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data, schema version first."""
        metrics = [
            {"name": m.name, "unit": m.unit.strip(), "scale": m.scale, "higher_is_better": m.higher_is_better}
            for m in task(self.task).metrics
        ]
        plain = {f: getattr(self, f) for f in self.__dataclass_fields__ if f not in ("layout", "input")}
        return {
            "schema": SCHEMA,
            **plain,
            "labels": list(self.labels),
            "statistics": list(self.statistics),
            "metrics": metrics,
            "input": self.input.to_json(),
            "layout": self.layout.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> RunRecord:
        """Read run.json's content. Raises RunError for a newer schema, a missing entry or one of the wrong type."""
        from core.data.input_format import InputFormat

        schema: Any = data.get("schema") if isinstance(data, dict) else None
        if not _is(schema, int) or schema < 1:
            raise RunError(f"{RECORD} has no schema version; it is not a run of this project")
        if schema > SCHEMA:
            raise RunError(
                f"{RECORD} has schema {schema}, this version reads up to {SCHEMA}; update structural-dropout"
            )
        for key, kind in ENTRIES.items():
            _check(key, data, key, kind)
        for key, inner in INNER_ENTRIES.items():
            for name, kind in inner.items():
                if name in data[key]:
                    _check(f"{key}.{name}", data[key], name, kind)
        try:
            entries = {key: data[key] for key in ENTRIES}
            layout = read_layout(data["layout"])
            if len(data["scale"].get("bands") or ()) > MOST_BANDS:
                raise RunError(f"the run's scale has more than {MOST_BANDS} bands; restore it from a copy")
            entries |= {"labels": _labels(data["labels"]), "layout": layout}
            entries["statistics"] = _statistics(data.get("statistics", []), layout)
            entries["input"] = InputFormat.from_json(data["input"])
            if not layout.widths:
                raise RunError("the layout has no width")
            Scale.from_json(data["scale"], layout)
            task(data["task"])
            return cls(**entries)
        except UserError as error:
            raise RunError(f"{RECORD}: {error}") from None
        except (TypeError, KeyError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
            raise RunError(f"{RECORD} is damaged: {type(error).__name__} {error}; restore it from a copy") from None


def _check(what: str, data: dict[str, Any], key: str, kind: Any) -> None:
    if not _is(data.get(key), kind):
        came = "nothing" if key not in data else type(data[key]).__name__
        needed = getattr(kind, "__name__", None) or " or ".join(k.__name__ for k in get_args(kind))
        raise RunError(f"{RECORD} needs {what!r} as {needed}, got {came}; restore it from a copy")


def _is(value: Any, kind: Any) -> bool:
    """isinstance, but true and false are no numbers, and neither are infinity and NaN."""
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return False
    return isinstance(value, kind)


def _labels(values: list[Any]) -> tuple[str, ...]:
    from core.data.input_format import check_names

    if not values or not all(isinstance(label, str) for label in values):
        raise RunError("labels must be a list of texts; restore it from a copy")
    check_names("labels", values)
    return tuple(values)


def _statistics(names: Any, layout: Layout) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(n, str) and n in layout.tensors for n in names):
        raise RunError("statistics must be a list of names of the layout's tensors; restore it from a copy")
    return tuple(names)
