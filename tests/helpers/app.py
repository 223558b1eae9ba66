"""Stores of runs for the tests of the explorer: copies of the sample runs, some of them damaged on purpose."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from starlette.requests import Request
from starlette.responses import Response
from streamlit.testing.v1 import AppTest

from app.components.take_file import PATH
from app.store.downloads import respond
from app.widgets.read_number import read_number
from app.words import GLUE, JOINER
from core.export.formats import size_before
from core.export.weights import small_state
from core.runs.run import Run
from tests.helpers.asgi import stays

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_checkpoints"
DIGITS = ("digits-paper", "digits-stratified")


def copy_run(store: Path, sample: str = "digits-stratified", name: str | None = None) -> Path:
    """A copy of a sample run under a name of its own."""
    target = store / (name or sample)
    shutil.copytree(SAMPLES / sample, target)
    return target


def edit_record(run: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    change(record)
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return run


def edit_metrics(run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """The run's table changed, its note of how it was made kept."""
    path = run / "metrics.parquet"
    table = pq.read_table(path)
    frame = change(table.to_pandas())
    changed = pa.Table.from_pandas(frame, preserve_index=False)
    note = {k: v for k, v in (table.schema.metadata or {}).items() if k != b"pandas"}
    pq.write_table(changed.replace_schema_metadata({**(changed.schema.metadata or {}), **note}), path)
    return run


def metrics_of(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "metrics.parquet").sort_values("width", ignore_index=True)


def shown_metrics(run: Path, format: str = "onnx") -> pd.DataFrame:
    """The run's table as the page shows it: bytes of files of `format`, and every number in them as a parameter."""
    opened = Run(run)
    named = [opened.widths_at(int(width)) for width in metrics_of(run)["width"]]
    return metrics_of(run).assign(
        bytes=[size_before(opened, widths, format)[0] for widths in named],
        params=[sum(values.size for values in small_state(opened, widths).values()) for widths in named],
    )


def open_page(page: str = "pick", /, **query: str) -> AppTest:
    """A visitor's first look at a page, through a link where `query` is given."""
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    if page == "pick":
        return _follow(at, query)
    at.run()  # pages are known by name once the router has run
    return go(at, page, **query)


def go(at: AppTest, page: str, /, **query: str) -> AppTest:
    """The same visitor on another page. AppTest's own switch knows pages that are files, ours are functions."""
    by_path = {str(info["url_pathname"]): key for key, info in at._registered_pages.items()}
    at._page_hash = by_path["" if page == "pick" else page]
    return _follow(at, query)


def _follow(at: AppTest, query: dict[str, str]) -> AppTest:
    at.query_params.clear()
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


def texts(at: AppTest) -> str:
    """All that the page says outside its widgets, Markdown's marks and joiners taken out."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "success", "code")
    said = [element.value for kind in kinds for element in getattr(at, kind)]
    said += [f"{bold} {text}" for part in live_parts(at) for _, text, bold in part["lines"]]
    said += [button(at)["said"]] if any("labels" in data for data in components(at)) else []
    return "\n".join(said).replace("\\", "").replace(JOINER, "").replace(GLUE, " ").replace("**", "")


def live_parts(at: AppTest) -> list[dict[str, Any]]:
    """What each live part of the page shows at first: `lines`, and `cards` with `image`, `alt`, `caption`, `wrong`."""
    found = []
    for data in components(at):
        if "lines" not in data:
            continue
        place = data["widths"].index(data["width"])
        cards = []
        for card, answer in zip(data["cards"], data["answers"][place] if data["cards"] else (), strict=True):
            caption, wrong = card["says"][answer]
            cards.append({**card, "caption": "\n".join(caption), "wrong": wrong})
        found.append({"lines": data["lines"][place], "cards": cards})
    return found


def well(at: AppTest) -> AppTest:
    """The page, once it is sure that nothing on it failed, foreseen or not."""
    assert not at.exception, at.exception
    assert "something in it is not as it should be" not in texts(at)
    assert "Traceback" not in texts(at)
    assert at.title
    return at


def unfolded(at: AppTest, key: str = "table-open") -> AppTest:
    """The page with a closed box opened: at first the chart as a table."""
    at.session_state[key] = True
    return well(at.run())


def field(at: AppTest, key: str) -> float:
    """The figure in a field."""
    return read_number(at.text_input(key=key).value)


def components(at: AppTest) -> list[dict[str, Any]]:
    """What the page's own components were given."""
    return [json.loads(component.proto.json or "{}") or {} for component in at.get("bidi_component")]


def sliders(at: AppTest) -> list[dict[str, Any]]:
    """What each live slider of the page was given: `rows`, `width`, `label`."""
    return [data for data in components(at) if "rows" in data]


def link(at: AppTest) -> str:
    """The address that can be copied from the page."""
    (found,) = (str(data["address"]) for data in components(at) if "address" in data and "labels" not in data)
    return found


def button(at: AppTest) -> dict[str, str]:
    """The download's button at the size that the page is on: `label`, `said` under it, `address` of the file."""
    (data,) = (data for data in components(at) if "labels" in data)
    place = data["widths"].index(data["width"])
    said = data["said"][place].replace(JOINER, "").replace(GLUE, " ")
    return {"label": data["labels"][place], "said": said, "address": f"{data['address']}&width={data['width']}"}


def ask_for_file(address: str) -> Response:
    """What the explorer's server answers to a click on the button."""
    scope = {
        "type": "http", "method": "GET", "path": f"/{PATH}", "headers": [], "server": ("127.0.0.1", 80),
        "query_string": urlsplit(address).query.encode(),
    }  # fmt: skip
    return asyncio.run(respond(Request(scope, stays)))


def handed_over(at: AppTest) -> bytes:
    """The file that a click on the page's button brings."""
    answer = ask_for_file(button(at)["address"])
    assert answer.status_code == 200, answer.body
    return bytes(answer.body)


def slider(at: AppTest) -> dict[str, Any]:
    """What the only live slider was given."""
    (data,) = sliders(at)
    return data


def readout(at: AppTest) -> dict[str, Any]:
    """What the live slider says at the size that the page is on."""
    data = slider(at)
    (row,) = (row for row in data["rows"] if row["width"] == data["width"])
    return {part: said.replace(GLUE, " ") if isinstance(said, str) else said for part, said in row.items()}


def figure(at: AppTest) -> dict[str, Any]:
    (chart,) = at.get("plotly_chart")
    found: dict[str, Any] = json.loads(chart.proto.spec)
    found["layout"].setdefault("shapes", [])  # nothing is sent for none
    return found
