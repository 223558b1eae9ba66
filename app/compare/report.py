"""A comparison to take along: one HTML file that opens without a server or a network, and the buttons for it.

Names and labels come from anybody's files: every one is escaped, in the page and in what its script reads, and the
page forbids its own browser to fetch anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import pandas as pd
import streamlit as st

from app import words
from app.charts import curves
from app.compare import agreement, per_class, verdict
from app.compare import charts as compare_charts
from app.compare import tables as compare_tables
from app.store.predictions import Comparison, all_answers
from core.utils.formatting import printable

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
CONFIG = {"displaylogo": False, "displayModeBar": False, "responsive": True, "showSendToCloud": False}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
       background: #fff; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #ccc; text-align: left; white-space: nowrap; }
.note { color: #555; font-size: 0.9rem; }
"""
DRAW = """
for (const box of document.querySelectorAll('[data-figure]')) {
  const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  Plotly.newPlot(box, figure.data, figure.layout, figure.config);
}
"""
DIGITS = 6  # of a figure in the table of all sizes


def section(comparison: Comparison) -> None:
    """Two buttons; each file is made when its button is clicked."""
    st.subheader("Export", anchor="export")
    with st.container(horizontal=True):
        st.download_button(
            "Report (HTML, 5\u00a0MB)",
            data=lambda: report(comparison),
            file_name="comparison.html",
            mime="text/html",
            icon=":material/article:",
            key="compare-report",
            on_click="ignore",
        )
        st.download_button(
            "Figures (CSV)",
            data=lambda: compare_tables.as_csv(comparison.measured),
            file_name="comparison.csv",
            mime="text/csv",
            icon=":material/table:",
            key="compare-csv",
            on_click="ignore",
        )
    st.caption(
        "The report holds this comparison with its charts, and opens in any browser, also without a network. The CSV "
        "file has a row for each run and size, for a spreadsheet."
    )


def report(comparison: Comparison) -> bytes:
    """Return the report as one HTML file in UTF-8."""
    title = "Comparison of " + ", ".join(words.short(run.id) for run, _ in comparison.measured)
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p>Compared at {_text(comparison.question)}. {_text(_judged(comparison))}</p>",
        *(_verdict(found) for found in verdict.verdicts(comparison)),
        _figure("curves", _curves(comparison), f"{comparison.metric.label} over size; the tables say the same."),
        _table(compare_tables.side_by_side(comparison), "The runs side by side"),
        *_by_class(comparison),
        *_agreement(comparison),
        "<h2>What differs in how they were made</h2>",
        _settings(comparison),
        "<h2>All figures</h2>",
        "<details><summary>Every size of these runs</summary>",
        _table(compare_tables.figures(comparison.measured), "Every size of these runs", "figures"),
        "</details>",
    ]
    return _page(title, parts).encode("utf-8", errors="replace")


def for_script(value: object) -> str:
    """JSON that can stand between script tags: nothing in it ends the tag or begins another."""
    found = json.dumps(value, allow_nan=False)  # ASCII only
    return found.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _page(title: str, parts: Sequence[str]) -> str:
    from plotly.offline import get_plotlyjs

    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n<script>{get_plotlyjs()}</script>\n<script>{DRAW}</script>\n</body>\n</html>\n"
    )


def _judged(comparison: Comparison) -> str:
    metric = comparison.metric
    better = "More is better." if metric.higher_is_better else "Less is better."
    return (
        f"{metric.label}: {metric.meaning} {better} Sizes are chosen on validation examples; figures that are shown "
        "come from test examples, with 95 % intervals."
    )


def _verdict(found: verdict.Verdict) -> str:
    how = f'<br><span class="note">{_text(found.how)}</span>' if found.how else ""
    return f"<p><strong>{_text(found.lead)}</strong>{_text(found.rest)}{how}</p>"


def _curves(comparison: Comparison) -> curves.Figure:
    runs = [(run.id, metrics) for run, metrics in comparison.measured]
    return curves.comparison(runs, comparison.metric, comparison.widths, comparison.against, False, whole=True)


def _by_class(comparison: Comparison) -> list[str]:
    found = per_class.by_class(all_answers(comparison))
    if found is None:
        return []
    chart = compare_charts.label_by_label(found, False)
    return [
        "<h2>Label by label</h2>",
        f"<p>{_text(found.sentence)}</p>",
        _figure("labels", chart, "How often each run is right on each label; the table says the same."),
        _table(per_class.table(found), "Each run on each label"),
    ]


def _agreement(comparison: Comparison) -> list[str]:
    pairs = agreement.agreements(all_answers(comparison))
    if not pairs:
        return []
    sentences = [f"<p>{_text(pair.sentence)}</p>" for pair in pairs]
    return ["<h2>Do they agree?</h2>", *sentences, _table(agreement.table(pairs), "How often they agree")]


def _settings(comparison: Comparison) -> str:
    made = compare_tables.what_differs(comparison.measured)
    if made.empty:
        return "<p>Nothing: same data, model, recipe and seed.</p>"
    made.columns = pd.Index([words.short(name) for name in made.columns])
    return _table(made.reset_index(), "What differs in how they were made")


def _figure(name: str, figure: curves.Figure, said: str) -> str:
    data = for_script({**figure, "config": CONFIG})
    return (
        f'<div data-figure="figure-{name}" role="img" aria-label="{_text(said)}"></div>\n'
        f'<script type="application/json" id="figure-{name}">{data}</script>'
    )


def _table(frame: pd.DataFrame, said: str, name: str = "") -> str:
    known = f' id="{name}"' if name else ""
    head = "".join(f'<th scope="col">{_text(str(column))}</th>' for column in frame.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_text(_cell(value))}</td>" for value in row) + "</tr>"
        for row in frame.astype(object).itertuples(index=False, name=None)
    )
    scroll = f'class="scroll" tabindex="0" role="region" aria-label="{_text(said)}"'  # so that arrow keys move it
    return f"<div {scroll}><table{known}><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    return "–" if value is None else str(value)


def _text(text: str) -> str:
    """Escape any text as one line without HTML."""
    spaced = (" " if text.startswith(" ") else "") + printable(text)
    return escape(spaced, quote=True)
