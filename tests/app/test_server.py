"""What the server reads ahead, so that its first visitor waits for little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app import server
from app.store import VARIABLE
from tests.helpers_app import ROOT, copy_run

FIRST_PAGE = """
import sys
from app import server
server.warm()
before = set(sys.modules)
from streamlit.testing.v1 import AppTest
tools = set(sys.modules) - before
page = AppTest.from_file("app/main.py", default_timeout=60).run()
assert not page.exception
new, known = set(sys.modules) - before - tools, {name.partition(".")[0] for name in before}
print(sorted(n for n in new if n.partition(".")[0] not in known or n.startswith(("app.", "core."))))
print("torch" in sys.modules)
"""


def test_a_first_page_imports_no_package_that_was_not_read_ahead(store: Path) -> None:
    copy_run(store)
    answer = subprocess.run([sys.executable, "-c", FIRST_PAGE], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-2:] == ["[]", "False"], answer.stderr


@pytest.mark.parametrize("kind", ["missing", "a file", "empty", "broken"])
def test_a_store_that_cannot_be_read_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    folder = tmp_path / "store"
    if kind == "a file":
        folder.write_text("no store")
    elif kind != "missing":
        folder.mkdir()
    if kind == "broken":
        (copy_run(folder) / "run.json").write_text("{")
    monkeypatch.setenv(VARIABLE, str(folder))
    server.warm()


def test_the_server_shows_the_router() -> None:
    assert Path(server.app.script_path) == ROOT / "app" / "main.py"
