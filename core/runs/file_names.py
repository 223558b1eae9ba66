"""Names of the files in the folder of a run; README.md describes each."""

from __future__ import annotations

RECORD = "run.json"
WEIGHTS = "model.safetensors"
EXAMPLES = "examples.safetensors"
STATISTICS = "statistics.safetensors"
METRICS = "metrics.parquet"
PREDICTIONS = "predictions.parquet"
LATENCY = "latency.parquet"
POLISHED = "polished.safetensors"
NOTES = "notes.json"
FILES = (RECORD, WEIGHTS, EXAMPLES, STATISTICS, METRICS, PREDICTIONS, LATENCY, POLISHED)
KEPT = (*FILES, NOTES)  # all that comes along when a run is copied

UNFINISHED = ".unfinished"  # suffix of the folder of a training that goes on or was interrupted
CHECKPOINT, DIVERGED = "checkpoint.safetensors", "diverged"  # files in it
PARTIAL = "sweep.partial.safetensors"  # of a sweep that goes on or was interrupted
