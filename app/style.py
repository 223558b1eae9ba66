"""The little that Streamlit's own look lacks for everyone to read it and to see where the keyboard is."""

from __future__ import annotations

from app.chart_looks import INK, PAPER

RING = ("#0B63A5", "#6CB6FF")  # the primary colours of .streamlit/config.toml


def style(dark: bool) -> str:
    """CSS for every page, as HTML."""
    return f"""<style>
.stMainBlockContainer {{ padding-top: 4.5rem; }} /* less empty space above the title */
/* where the keyboard is, on every kind of control alike */
.stApp :is(a, button, input, textarea, summary, [tabindex]):focus-visible {{
  outline: 3px solid {RING[dark]}; outline-offset: 2px;
}}
.stApp label:has(input:is([type="radio"], [type="checkbox"]):focus-visible) {{
  outline: 3px solid {RING[dark]}; outline-offset: 2px; border-radius: 0.25rem;
}}
/* white on the light blue of the dark theme can't be read */
.stApp [data-testid="stBaseButton-primary"]:enabled,
.stApp [data-testid="stBaseButton-primary"]:enabled * {{ color: {PAPER[dark]} !important; }}
/* the colours of words in code have too little contrast */
.stApp .stCode .token {{ color: {INK[dark]} !important; }}
/* a finger's width for the field that runs are typed into */
.stApp .stMultiSelect input {{ min-width: 24px; }}
</style>"""
