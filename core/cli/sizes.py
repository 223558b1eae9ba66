"""`show` and `export`: the sizes of a run, and one of them as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.shared import RunFolder, open_run
from core.errors import UserError
from core.utils.formatting import printable

if TYPE_CHECKING:
    from core.runs.run import Run


def show(
    run: RunFolder,
    max_kb: Annotated[float | None, typer.Option(help="Largest file, in kB (1 kB is 1,000 bytes).")] = None,
    at_least: Annotated[
        float | None,
        typer.Option(
            "--at-least",
            "--min-accuracy",
            help="Quality to keep, in the run's own unit; a share is a fraction: 0.97 is 97 %.",
        ),
    ] = None,
    lose_at_most: Annotated[
        float | None,
        typer.Option(help="Largest loss against full size, in the run's own unit; 0.01 is one point of accuracy."),
    ] = None,
) -> None:
    """Print a table of sizes, and with a budget the size that meets it.

    \b
    Examples:
      python -m core show runs/digits
      python -m core show runs/digits --max-kb 50
      python -m core show runs/digits --max-kb 50 --at-least 0.97
      python -m core show runs/digits --lose-at-most 0.01
      python -m core show runs/flower --at-least 25
    """
    from core.runs.polished import sentence
    from core.sweep.report import reply, size_table

    opened = open_run(run)
    metrics = opened.metrics()
    lines = [size_table(opened, metrics)]
    if any(limit is not None for limit in (max_kb, at_least, lose_at_most)):
        answer = reply(opened, metrics, max_kb=max_kb, at_least=at_least, lose_at_most=lose_at_most)
        lines += ["", answer.sentence]
    points = opened.polished().to_dict("records")
    if points:
        lines += ["", "Made better by themselves after they were cut; take one with export --polished:"]
        lines += [sentence(opened.task, point) for point in points]
    typer.echo("\n".join(lines))


def export(
    run: RunFolder,
    width: Annotated[int, typer.Option(help="Units kept in each hidden layer.")],
    out: Annotated[str, typer.Option(metavar="PATH", help="File to write, or a folder to write it into.")],
    format: Annotated[str, typer.Option(help="bundle, safetensors, onnx or pt2.")] = "bundle",
    polished: Annotated[bool, typer.Option("--polished", help="The polished or refitted model of this width.")] = False,
    bits: Annotated[int | None, typer.Option(help="Bits of a weight: 16, 8, 4, 3 or 2.")] = None,
) -> None:
    """Write one width of a run as a file, checked against the run's own model.

    A file that exists is replaced, whole or not at all.

    \b
    Examples:
      python -m core export runs/digits --width 16 --out small.zip
      python -m core export runs/digits --width 16 --format onnx --out small.onnx
      python -m core export runs/digits --width 48 --bits 3 --format onnx --out small.onnx
    """
    from core.export.formats import export as export_width
    from core.utils import files

    opened = open_run(run)
    exported = export_width(opened, width, format, polished=polished, bits=bits)
    target = file_to_write(out, exported.name)
    if target is None:  # a device or a pipe is written to, never replaced
        with open(out, "wb") as device:
            device.write(exported.data)
        return
    files.write_bytes(target, exported.data)
    typer.echo(f"{printable(str(target))}  {len(exported.data):,} bytes  sha256 {exported.sha256}")
    if bits is not None:
        typer.echo(_measured(opened, width, bits, polished))


def _measured(run: Run, width: int, bits: int, polished: bool) -> str:
    """Measure the model of a file with rounded weights, in one sentence."""
    from core.precision.quantized import evaluate_precision

    test = evaluate_precision(run.with_polished(width) if polished else run, width, bits)["test"]
    metric = run.task.metric
    interval = metric.format_interval(test.low, test.high)
    return (
        f"{metric.label} {metric.format(test.value)} ({interval}) on {test.n:,} test examples, measured at {bits} bits"
    )


def file_to_write(out: str, name: str) -> Path | None:
    """Resolve `--out` to a file, as `cp` does; None for a device or a pipe. Raises UserError for a file of a run."""
    from core.runs.file_names import FILES, RECORD

    path = Path(os.path.realpath(out))  # through a link, which stays one
    if path.is_dir() or out.endswith(("/", os.sep)):
        path /= name
    elif (path.exists() and not path.is_file()) or out.startswith(("/dev/", "/proc/")):
        return None
    if path.name in FILES and (path.parent / RECORD).exists():
        raise UserError(f"{out} is a file of a run, which the export would destroy; choose another --out")
    return path
