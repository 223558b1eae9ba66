"""A process that dies on the spot at a chosen moment. Run as a script; forks before torch does any work.

    python helpers/killing.py train|sweep|overwrite FOLDER SEED DEATHS

Repeats the work in `FOLDER` until it is through, killing it at the first `DEATHS` moments that `SEED` draws, and
prints as JSON after each life how it ended and what then lay in the folder.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PATH": os.environ.get("PATH", "")}


def lives(work: str, folder: Path, seed: int, deaths: int) -> list[dict[str, Any]]:
    """Do `work` in `folder` through that many deaths; what each life left."""
    script = [sys.executable, __file__, work, str(folder), str(seed), str(deaths)]
    done = subprocess.run(script, env=FILES, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: Any, name: str, n: int, *, after: bool = False) -> None:
    """Die at the `n`-th call of a function, before or after it has done its work."""
    real, calls = getattr(owner, name), []

    def call(*args: Any, **settings: Any) -> Any:
        calls.append(1)
        if len(calls) == n and not after:
            die()
        result = real(*args, **settings)
        if len(calls) == n:
            die()
        return result

    setattr(owner, name, call)


def in_the_middle_of_a_write(n: int) -> None:
    """Die when the `n`-th file that this project opens to write has got half of its bytes."""
    from core.utils import files

    opened = []

    class Half:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            die()
            return 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> Half:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

    def opening(path: Any, mode: str = "r", **settings: Any) -> Any:
        file = builtins.open(path, mode, **settings)  # noqa: SIM115 (the caller closes it)
        if "w" not in mode and "x" not in mode:
            return file
        opened.append(path)
        return Half(file) if len(opened) == n else file

    files.open = opening  # type: ignore[attr-defined]


def in_the_middle_of_a_table(n: int) -> None:
    """Die when the `n`-th parquet file has got half of its bytes."""
    import pyarrow.parquet as pq

    real, written = pq.write_table, []

    def write(table: Any, path: Any, **settings: Any) -> None:
        real(table, path, **settings)
        written.append(path)
        if len(written) == n:
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    pq.write_table = write


def moment(work: str, draw: random.Random, late: bool) -> Callable[[], None]:
    """A moment to die at, early in a life so that lives are many; `late`, when the work is nearly done."""
    modules = ("train.checkpoint", "train.loop", "sweep.evaluator", "sweep.validation", "utils.files")
    core_of = {name: importlib.import_module(f"core.{name}") for name in modules}
    n = draw.randint(1, 4)
    common = [
        lambda: at_call(os, "replace", n),
        lambda: at_call(os, "replace", n, after=True),
        lambda: at_call(os, "fsync", n),
        lambda: in_the_middle_of_a_write(n),
    ]
    own = {
        "train": [
            lambda: at_call(core_of["train.loop"], "train_step", n),
            lambda: at_call(core_of["train.loop"], "train_step", n, after=True),
            lambda: at_call(core_of["train.checkpoint"], "save", n),
            lambda: at_call(core_of["utils.files"], "_remove", n),
        ],
        "sweep": [
            lambda: at_call(core_of["sweep.evaluator"], "_judge", n),
            lambda: at_call(core_of["utils.files"], "write_bytes", n, after=True),
        ],
        "sweep's tables": [
            lambda: at_call(core_of["sweep.validation"], "write_table", 1 + n % 2),
            lambda: at_call(core_of["sweep.validation"], "write_table", 1, after=True),
            lambda: in_the_middle_of_a_table(1 + n % 2),
        ],
        "overwrite": [
            lambda: at_call(core_of["utils.files"], "_exchange", 1),
            lambda: at_call(core_of["utils.files"], "_exchange", 1, after=True),
            lambda: at_call(core_of["utils.files"], "_remove", n),
        ],
    }
    if late and work == "sweep":
        return draw.choice(own["sweep's tables"])
    return draw.choice(common + own[work] * 2)


def main(work: str, folder: str, seed: int, deaths: int) -> None:
    from core import Run, RunStore, sweep, train
    from core.errors import UserError
    from tests.helpers.training import LONG, RECIPES, left_in, small_data, small_family

    out, draw = Path(folder), random.Random(seed)
    settings: dict[str, Any] = {"out": out / "run", "recipe": RECIPES["stratified"], "progress": False}
    data = small_data(n=600 if work == "sweep" else 160)

    def work_once() -> None:
        sys.modules["core.train.loop"].CHECKPOINT_SECONDS = 0.0  # type: ignore[attr-defined]
        sys.modules["core.sweep.progress"].SAVE_SECONDS = 0.0  # type: ignore[attr-defined]
        sys.modules["core.sweep.evaluator"].CHUNK_ROWS = 4  # type: ignore[attr-defined]
        if work == "train":
            train(small_family(dropout=True), data, resume=True, **{**settings, "recipe": LONG})
        elif work == "sweep":
            sweep(out / "run", data, family=small_family(), latency=False, progress=False)
        else:
            train(small_family(), data, seed=1, overwrite=True, **settings)

    for slow in (
        "torch._dynamo",
        "pandas",
        "pyarrow.parquet",
        "core.elastic.module",
        "core.models",
        "core.elastic.discovery.symmetry",
    ):
        importlib.import_module(slow)  # once, not in every life
    for life in range(deaths + 1):
        last = moment(work, draw, late=life >= 7)
        child = os.fork()
        if child == 0:
            if life < deaths:
                last()
            work_once()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or status == 0, f"life {life} ended with status {status}"
        try:
            seen: Any = RunStore(out).open("run").record.training["seed"]
        except UserError as error:
            seen = str(error)
        shown = [run.id for run in RunStore(out).list() if isinstance(run, Run)]
        print(json.dumps({"killed": killed, "seed": seen, "listed": shown, "left": left_in(out)}), flush=True)
        if not killed and work != "overwrite":
            break


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
