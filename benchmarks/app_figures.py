"""Ratios and texts of the figures of `app.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Limits of the medians: relative to the bare page, in seconds, or relative to a store with few runs
LIMITS = {"settle": 1.5, "bundle_s": 0.5, "cold": 1.5, "my_runs_s": 2.0, "many_runs": 1.1}

WINDOWS = {
    "bare": "a bare slider with four st.metric",
    "pick": "the page as it opens",
    "open": "with a box open that only the server can fill",
    "many": "with the box open, in the large store",
}


def summary(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Return the median, the 95th percentile and the number of values."""
    return {
        "median": round(float(np.median(values)), digits),
        "p95": round(float(np.percentile(values, 95)), digits),
        "n": len(values),
    }


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return the quantities that `LIMITS` bounds: medians relative to those of the bare page, and seconds."""
    settle, page = found["picks"]["settle_ms"], found["cold"]["page_s"]
    return {
        "settle": round(settle["pick"]["released"]["median"] / settle["bare"]["released"]["median"], 2),
        "bundle_s": found["download"]["bundle_s"]["median"],
        "cold": round(page["pick"]["median"] / page["bare"]["median"], 2),
        "my_runs_s": max(found["my_runs"]["first_drawn_s"], found["my_runs"]["drawn_s"]["median"]),
        "many_runs": round(settle["many"]["released"]["median"] / settle["open"]["released"]["median"], 2),
    }


def say(found: dict[str, Any]) -> None:
    """Print the figures as sentences, and whether each limit is kept."""
    held, over = found["picks"], found["ratios"]
    print(
        f"drag: readout and mark {held['readout_ms']['median']} ms after the hand (p95 {held['readout_ms']['p95']}), "
        f"{'always' if held['readout_in_the_next_frame'] else 'NOT always'} in the next frame; "
        f"{held['messages_while_dragging']} messages"
    )
    for name, row in held["settle_ms"].items():
        print(
            f"release to settled, {WINDOWS[name]}: {row['released']['median']} ms (p95 {row['released']['p95']}), "
            f"{row['messages']['median']:.0f} messages, {row['bytes']['median']:.0f} bytes"
        )
    print(f"download of {found['download']['bytes']:,} bytes: {found['download']}")
    print(f"first page of a new server: {found['cold']}")
    print(f"My runs with {found['runs']:,} runs: {found['my_runs']}")
    for name, limit in LIMITS.items():
        print(f"{name}: {over[name]} (at most {limit}){'' if over[name] <= limit else ' MISSED'}")
