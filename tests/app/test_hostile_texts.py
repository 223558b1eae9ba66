"""Texts from a run's files stay text: on no page is one read as Markdown, HTML, a link or a picture."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.errors import UserError
from core.runs.notes import Notes, write_notes
from core.runs.run import Run
from tests.helpers.app import copy_run, open_page, unfolded, well

HOSTILE = "![i](//evil.test/p)<b>M</b>[l](http://evil.test)"
READ_AS_MARKDOWN = re.compile(r"(?<!\\)\]\((?:http:)?//evil|(?<!\\)<b>M|://evil|(?<!\\)!\[")
# Fields of Streamlit's messages that it shows as they are, or that are looked at below
PLAIN = {
    "spec",
    "json",
    "default",
    "value",
    "url",
    "key",
    "id",
    "page_script_hash",
    "data",
    "placeholder",
    "alt",
    "url_path",
}
LISTS = {"Selectbox", "MultiSelect"}  # whose options are plain text
OPEN = ("table-open", "changes-open", "try-open", "inside-open", "pick-expert")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the texts are in a run.json."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in items:
        if isinstance(inside, str):
            yield (*path, key)
        yield from leaves(inside, (*path, key))


def opens(run: Path) -> bool:
    try:
        opened = Run(run)
        opened.metrics()
        opened.targets()
    except UserError:
        return False
    return True


def made_hostile(run: Path) -> list[tuple[Any, ...]]:
    """Put the hostile text wherever a run that opens may hold one; gives where that is in run.json."""
    path = run / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["recipe"][HOSTILE] = 1
    record["data"]["warnings"] = [HOSTILE]
    taken = []
    for leaf in list(leaves(record)):
        before, changed = json.dumps(record), json.loads(json.dumps(record))
        holder = changed
        for key in leaf[:-1]:
            holder = holder[key]
        holder[leaf[-1]] = f"{leaf[-1]}{HOSTILE}" if leaf[0] == "labels" else HOSTILE
        path.write_text(json.dumps(changed), encoding="utf-8")
        if leaf != ("family", "name") and opens(run):
            record = changed
            taken.append(leaf)
        else:
            path.write_text(before, encoding="utf-8")
    for file in run.glob("*.parquet"):
        frame, kept = pd.read_parquet(file), file.read_bytes()
        for column in frame.select_dtypes(include=["object", "string"]).columns:
            frame[column] = HOSTILE
            frame.to_parquet(file)
        if not opens(run):
            file.write_bytes(kept)
    write_notes(run, Notes(title=HOSTILE, tags=(HOSTILE[:30],), note=HOSTILE))
    return taken


def markdown(message: Any) -> Iterator[str]:
    """Every text of a message to the browser that is read as Markdown."""
    for descriptor, value in message.ListFields():
        if descriptor.name in PLAIN or (message.DESCRIPTOR.name in LISTS and descriptor.name not in ("label", "help")):
            continue
        for part in value if descriptor.is_repeated else [value]:
            if isinstance(part, str):
                yield part
            elif hasattr(part, "ListFields"):
                yield from markdown(part)


def tame(at: AppTest) -> AppTest:
    """The page, once nothing on it reads the hostile text as anything but text."""
    for node in well(at)._tree:
        if getattr(node, "proto", None) is None or isinstance(node.proto, str):
            continue
        for text in markdown(node.proto):
            assert not READ_AS_MARKDOWN.search(text), text
    for table in at.table:
        frame = table.value.reset_index()
        for text in (*frame.columns, *frame.to_numpy().ravel()):
            assert not READ_AS_MARKDOWN.search(str(text)), text
    for html in at.get("html"):
        assert "<b>M</b>" not in html.proto.body
    for chart in at.get("plotly_chart"):
        assert "<b>M" not in chart.proto.spec
    return at


@pytest.fixture
def hostile(digits: Path, place: Callable[..., Path]) -> Path:
    assert {leaf[0] for leaf in made_hostile(digits / "digits-paper")} >= {"labels", "data", "recipe", "training"}
    for kind in ("numbers", "points", "grey"):
        shutil.move(place(kind), digits / f"of-{kind}")
        made_hostile(digits / f"of-{kind}")
    copy_run(digits, "digits-paper", "twin")
    return digits


def test_no_page_reads_a_text_from_a_file(hostile: Path) -> None:
    for run in ("digits-paper", "of-numbers", "of-points", "of-grey"):
        at = tame(open_page(run=run, width="5"))
        for key in OPEN:
            at.session_state[key] = True
        tame(at.run())
        tame(open_page("runs", run=run))
    tame(
        open_page("compare", runs="digits-paper,digits-stratified", at="size", value="20", open="labels,agreement,all")
    )
    tame(unfolded(open_page("compare", runs="of-numbers"), "compare-open-all"))


def test_the_finder_finds() -> None:
    assert READ_AS_MARKDOWN.search(HOSTILE)
    at = AppTest.from_string(f"import streamlit as st\nst.caption({HOSTILE!r})").run()
    with pytest.raises(AssertionError):
        tame(at)
