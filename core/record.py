"""What run.json says: everything needed to understand, evaluate and export a run. No file is touched here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import RunError, UserError
from core.layout import Layout
from core.tasks import task

if TYPE_CHECKING:
    from core.data.dataset import InputFormat

SCHEMA = 1
RECORD = "run.json"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What run.json holds: all that is needed to understand, evaluate and export a run."""

    family: dict[str, Any]  # registry name (None for a user's own factory) and settings
    layout: Layout
    task: str
    labels: tuple[str, ...]
    input: InputFormat
    data: dict[str, Any]  # name, source, fingerprint, number of examples in each part
    recipe: dict[str, Any]  # name and settings
    scale: dict[str, Any]  # exponent, and the tensors it applies to
    training: dict[str, Any]  # seed, epochs, device, threads, seconds, history
    weights_sha256: str
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
            "metrics": metrics,
            "input": self.input.to_json(),
            "layout": self.layout.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> RunRecord:
        """From run.json. Raises RunError for a newer schema, a missing entry or one of the wrong type."""
        from core.data.dataset import InputFormat

        if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
            raise RunError(f"{RECORD} has no schema version; it is not a run of this project")
        if data["schema"] > SCHEMA:
            raise RunError(
                f"{RECORD} has schema {data['schema']}, this version reads up to {SCHEMA}; update structural-dropout"
            )
        wanted = {
            "family": dict, "task": str, "labels": list, "input": dict, "data": dict, "recipe": dict, "scale": dict,
            "training": dict, "weights_sha256": str, "versions": dict, "created": str, "layout": dict,
        }  # fmt: skip
        for key, kind in wanted.items():
            if not isinstance(data.get(key), kind):
                came = "nothing" if key not in data else type(data[key]).__name__
                raise RunError(f"{RECORD} wants {key!r} as {kind.__name__}, got {came}; restore it from a copy")
        try:
            entries = {key: data[key] for key in wanted}
            entries |= {
                "labels": tuple(str(label) for label in data["labels"]),
                "layout": Layout.from_json(data["layout"]),
                "input": InputFormat.from_json(data["input"]),
            }
            record = cls(**entries)
            task(record.task)
            return record
        except (UserError, TypeError, KeyError, ValueError) as error:
            raise RunError(f"{RECORD}: {error}") from None


def path_widths(layout: Layout, width: int) -> dict[str, int]:
    """All named widths at one point of a sweep: the widest is `width`, the others keep their share of it."""
    largest = max(layout.full.values())
    return {name: max(w.lower, min(w.full, -(-width * w.full // largest))) for name, w in layout.widths.items()}


def path_range(layout: Layout) -> tuple[int, int]:
    """Smallest and largest point of a sweep; every point between is one too."""
    largest = max(layout.widths.values(), key=lambda w: w.full)
    return largest.lower, largest.full
