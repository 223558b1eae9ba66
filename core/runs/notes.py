"""Title, tags and a note that people give a run, in a small file beside run.json, which stays as it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import RunError, UserError
from core.runs.file_names import NOTES
from core.utils import files

MAX_BYTES = 64 * 2**10
LONGEST = {"title": 100, "tag": 30, "note": 2_000}  # characters
MOST_TAGS = 12


@dataclass(frozen=True, kw_only=True)
class Notes:
    """Words for people; nothing is computed from them."""

    title: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""


def read_notes(run: Path) -> Notes:
    """Read the notes in a run's folder, without a character that can't be shown; empty where there are none.

    Raises RunError where the file is damaged or larger than such a file may be.
    """
    if not (run / NOTES).exists():
        return Notes()
    data = files.read_json(run / NOTES, MAX_BYTES)
    if not isinstance(data, dict):
        raise RunError(f"{NOTES} holds no notes; write them anew")
    title, tags, note = data.get("title", ""), data.get("tags", []), data.get("note", "")
    if not (isinstance(title, str) and isinstance(note, str) and isinstance(tags, list) and all_texts(tags)):
        raise RunError(f"{NOTES} needs a text as title and note and a list of texts as tags; write them anew")
    try:
        return checked(Notes(title=title, tags=tuple(tags), note=note))
    except UserError as error:
        raise RunError(f"{NOTES}: {error}") from None


def write_notes(run: Path, notes: Notes) -> Notes:
    """Keep notes with a run, whole or not at all; of two writers at once the last one's stay.

    Returns the notes as they were written, without spaces at the ends and without doubled tags. Raises UserError for
    texts that are too long, RunError where the folder is gone or refuses.
    """
    kept = checked(notes)
    if not run.is_dir():
        raise RunError(f"there is no run {run.name!r} any more, so its notes were not kept; look at the list again")
    files.write_bytes(run / NOTES, files.json_bytes(asdict(kept)), parents=False)
    return kept


def checked(notes: Notes) -> Notes:
    """Return the notes as they are kept. Raises UserError where one is too long."""
    tags = tuple(dict.fromkeys(tag for tag in map(_line, notes.tags) if tag))
    kept = Notes(title=_line(notes.title), tags=tags, note=_lines(notes.note))
    if len(tags) > MOST_TAGS:
        raise UserError(f"there are {len(tags)} tags, more than the {MOST_TAGS} a run may have; leave some out")
    for what, text in (("title", kept.title), ("note", kept.note), *(("tag", tag) for tag in tags)):
        if len(text) > LONGEST[what]:
            raise UserError(f"the {what} has {len(text):,} characters; use up to {LONGEST[what]:,}")
    return kept


def all_texts(values: list[Any]) -> bool:
    """Whether a list holds texts and nothing else."""
    return all(isinstance(value, str) for value in values)


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _lines(text: str) -> str:
    return "\n".join(
        "".join(c if c.isprintable() else " " for c in line).rstrip() for line in text.splitlines()
    ).strip()
