"""Help: one figure that anyone can be told of, and the words as the pages use them."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from app.help import figure as help_figure
from app.help import page as help_page
from app.help import text as help_text
from app.pick import answer
from app.pick import page as pick_page
from core.__main__ import main
from core.export.formats import FORMATS
from core.tasks.registry import TASKS
from tests.helpers.app import go, open_page, texts, well

ROOT = Path(help_page.__file__).parent


def test_help_is_there_without_any_run(store: Path) -> None:
    at = well(open_page("help"))
    assert at.title[0].value == "Help"
    said = texts(at)
    for metric in (metric for task in TASKS.values() for metric in task.metrics):
        assert f"{metric.label}: {metric.meaning}" in said
    for file in FORMATS.values():
        assert f"{file.label}: {file.meaning}" in said
    for lines in (*help_text.CAN_DO.values(), help_text.MEASURED, help_text.LIMITS):
        for line in lines:
            assert line.replace("**", "") in said
    assert [link.proto.label for link in at.get("page_link")] == ["Pick a size", "Compare runs", "My runs"]


@pytest.mark.parametrize(
    "thing",
    [
        "archive",
        "bring it back",
        "title, tags",
        "rename",
        "report",
        "CSV",
        "trained on by itself",
        "Download the whole run",
        "Add a run from a file or a folder",
        "can't tell",
        "No clear difference",
        "Send a link",
    ],
)
def test_all_there_is_can_be_looked_up(thing: str, store: Path) -> None:
    assert thing.casefold() in texts(open_page("help")).casefold()


def test_the_command_that_is_named_is_there(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, _, *options = help_text.TRAIN_ON_COMMAND
    assert shlex.join(help_text.TRAIN_ON_COMMAND) in texts(open_page("help"))
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in options if option.startswith("--"))


def test_a_visit_to_help_loses_nothing(digits: Path) -> None:
    at = open_page(run="digits-paper", width="9")
    at = well(go(well(go(at, "help")), "pick"))
    assert "Your choice: 9 units" in texts(at)


@pytest.mark.parametrize("word", [word for words in help_text.WORDS for word in words.split(", ")])
def test_words_are_those_that_the_pages_use(word: str) -> None:
    used = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("*.py") if not path.name.startswith("help"))
    assert re.search(re.escape(word), used, re.IGNORECASE), "a word that no page uses needs no explanation"


def test_badges_and_presets_are_explained() -> None:
    explained = ", ".join(help_text.WORDS)
    for word in [word for word, *_ in answer.BADGES.values()] + list(answer.MISSED.values()):
        assert word in explained
    source = Path(pick_page.__file__).read_text(encoding="utf-8")
    for preset in ("Recommended", "Smallest that does the job", "Full size"):
        assert preset in source
        assert preset in explained


def test_the_figure_is_a_drawing_with_a_text_for_those_who_cannot_see_it() -> None:
    (drawing,) = ET.fromstring(help_figure.figure())
    assert drawing.attrib["role"] == "img"
    assert "left of the line" in drawing.attrib["aria-label"]
    circles = list(drawing.iter("circle"))
    strengths = [float(c.attrib["fill-opacity"]) for c in circles]
    layers = [strengths[k : k + help_figure.FEATURES] for k in range(len(strengths)) if strengths[k] == 1]
    faded = [
        layer for layer in layers if len(layer) == help_figure.FEATURES and layer == sorted(set(layer), reverse=True)
    ]
    assert len(faded) == 2, "two hidden layers fade from the left to the right"
    assert not re.search(r"#[0-9a-f]{3,6}|rgb", help_figure.figure()), "its ink is the theme's"
