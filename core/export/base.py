"""The parts of a format (`Format`) and the result of a check (`Verified`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.elastic.family import Family
    from core.runs.run import Run

Widths = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How much of a file was compared with the run."""

    numbers: int = 0  # weights
    examples: int = 0  # stored examples that the file's program was run on; 0 where the width was not measured


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file that one size of a run can be exported as.

    Parameters
    ----------
    name, suffix, label, meaning
        Name on the command line, suffix of the file, title for people, and one plain sentence on whom it is for.
    holds_program
        Whether the file holds a program and not only weights; a run of one's own factory then needs its family.
    make
        Function from a run, the size of each named width, and the family (needed for a factory of one's own) to the
        file's bytes.
    verify
        Function from a run, a width of its sweep and a file's bytes to what was compared. For a run `with_polished`
        at this width, the polished model counts. Raises RunError for the first difference from what the run stores.
    size
        Function from the bytes and the number of a model's tensors to the file's bytes, before it is made.
    roughly
        Words before that size where it is not exact.
    usage
        Python lines that load the file, with `{name}` for its name; shown beside the download.
    """

    name: str
    suffix: str
    label: str
    meaning: str
    holds_program: bool
    make: Callable[[Run, Widths, Family | None], bytes]
    verify: Callable[[Run, int, bytes], Verified]
    size: Callable[[int, int], float]
    roughly: str = ""
    usage: str = ""
