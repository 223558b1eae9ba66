"""The comparison to take along: its figures for a spreadsheet, and a report that opens anywhere."""

from __future__ import annotations

import streamlit as st

from app.compare import figures_table
from app.compare import report as compare_report
from app.store.predictions import Comparison


def section(comparison: Comparison) -> None:
    """Two buttons; each file is made when its button is clicked."""
    st.subheader("Take the figures with you", anchor="figures")
    with st.container(horizontal=True):
        st.download_button(
            "Report (HTML, 5\u00a0MB)",
            data=lambda: compare_report.report(comparison),
            file_name="comparison.html",
            mime="text/html",
            icon=":material/article:",
            key="compare-report",
            on_click="ignore",
        )
        st.download_button(
            "Figures (CSV)",
            data=lambda: figures_table.as_csv(comparison.measured),
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
