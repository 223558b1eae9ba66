"""Time the explorer in a browser relative to a bare Streamlit page: python benchmarks/app.py

Print medians and 95th percentiles of alternating repetitions, with a store of 8 runs of 256 widths and one of 1,000.
--sessions 30 lets so many people pick at once for a minute. Needs Playwright and a Chromium, as the tests do.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app_figures import ratios, say, summary
from app_window import Window, store
from measure import finish
from playwright.sync_api import Browser, expect, sync_playwright

from tests.helpers.browser import chromium, serving
from tests.helpers.crowd import crowd

BARE = "benchmarks/app_bare.py"
FEW, MANY = 8, 1000  # runs in a store
SHARES = (0.35, 0.8, 0.5, 0.95, 0.2, 0.65)  # of the slider's track, where the thumb is released, in turn
READY = (".stPlotlyChart .legendtext", ".shown img", ".take button span:not(:empty)")  # the explorer's first page
DRAWN = ".stPlotlyChart .scatterlayer path"


def picks(windows: dict[str, Window], repeats: int) -> dict[str, Any]:
    """Time from releasing the slider to the last change on the page, windows alternating, and each frame of a drag."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in windows}
    frames: list[tuple[float, bool]] = []
    shares = itertools.cycle(SHARES)
    for turn in range(repeats + 2):
        share = next(shares)
        for name, window in windows.items():
            window.page.bring_to_front()
            picked = window.pick(share)
            if turn >= 2:  # the first two warm up
                found[name].append(picked)
                if name == "pick":
                    frames += window.frames
    sent = sum(p["sent_while_held"] for name in windows if name != "bare" for p in found[name])
    table = {
        name: {key: summary([p[key] for p in rows]) for key in ("released", "messages", "bytes")}
        for name, rows in found.items()
    }
    return {
        "settle_ms": table,
        "readout_ms": summary([ms for ms, _ in frames], 2),
        "readout_in_the_next_frame": all(follows for _, follows in frames),
        "messages_while_dragging": int(sent),
    }


def bundles(window: Window, repeats: int) -> dict[str, Any]:
    """Measure seconds from a click on the button until the whole file has arrived; the first click is listed apart."""
    page, seconds, size = window.page, [], 0
    for k in range(repeats + 1):
        width = 256 - k % 7
        page.goto(f"{page.url.split('?')[0]}?run=run-0001&width={width}")
        button = page.get_by_role("button", name=f"Download {width} units")
        expect(button).to_be_visible()
        window.settled()
        with page.expect_download() as coming:
            began = time.perf_counter()
            button.click()
        size = coming.value.path().stat().st_size
        seconds.append(time.perf_counter() - began)
        expect(page.get_by_text("Handed over:")).to_be_visible()
    return {"first_s": round(seconds[0], 2), "bundle_s": summary(seconds[1:], 3), "bytes": size}


def cold(browser: Browser, folder: Path, runs: Path, repeats: int) -> dict[str, Any]:
    """Measure the first page of a newly started server, alternating with the bare one."""
    kinds: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
        "bare": ((BARE, "chart"), (DRAWN,)),
        "pick": ((), READY),
    }
    page: dict[str, list[float]] = {name: [] for name in kinds}
    start: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, (script, wanted) in kinds.items():
            began = time.perf_counter()
            with serving(runs, folder, *script) as url:
                started = time.perf_counter() - began
                window = Window(browser, url)
                page[name].append(window.opened(*wanted))
                start[name].append(started + page[name][-1])
                window.close()
    return {
        "page_s": {name: summary(values, 2) for name, values in page.items()},
        "with_start_s": {name: summary(values, 2) for name, values in start.items()},
    }


def my_runs(browser: Browser, url: str, repeats: int) -> dict[str, Any]:
    """Time My runs until its table is drawn, and until its last change; the server's first visit is apart."""
    drawn, whole = [], []
    for _ in range(repeats + 1):
        window = Window(browser, url, "/runs")
        whole.append(window.opened('[data-testid="stDataFrame"] canvas'))
        drawn.append(window.figure("probe.table") / 1e3)
        window.close()
    return {
        "first_drawn_s": round(drawn[0], 2),
        "first_whole_s": round(whole[0], 2),
        "drawn_s": summary(drawn[1:], 2),
        "whole_s": summary(whole[1:], 2),
    }


def everything(browser: Browser, folder: Path, repeats: int, many: int) -> dict[str, Any]:
    """Measure every figure of one person's visit."""
    found: dict[str, Any] = {}
    homes = [folder / name for name in ("few", "many", "bare", "cold")]
    for home in homes:
        home.mkdir()
    few, lots = store(homes[0], FEW), store(homes[1], many)
    with ExitStack() as stack:
        start: Callable[..., str] = lambda *how: stack.enter_context(serving(*how))  # noqa: E731
        urls = start(few, homes[0]), start(lots, homes[1]), start(few, homes[2], BARE, "slider")
        found["my_runs"] = my_runs(browser, urls[1], repeats)
        path = "/?run=run-0001&width=64"
        windows = {
            "bare": Window(browser, urls[2], told=True),
            "pick": Window(browser, urls[0], path),
            "open": Window(browser, urls[0], path, told=True),
            "many": Window(browser, urls[1], path, told=True),
        }
        windows["bare"].opened('[data-testid="stMetricValue"]')
        for name in ("pick", "open", "many"):
            windows[name].opened(*READY)
        for name in ("open", "many"):
            windows[name].unfold()
        found["picks"] = picks(windows, repeats)
        for name in ("bare", "open", "many"):
            windows[name].close()
        found["download"] = bundles(windows["pick"], repeats)
        windows["pick"].close()
    found["cold"] = cold(browser, homes[3], few, repeats)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30, help="repetitions of each measurement (default 30)")
    parser.add_argument("--sessions", type=int, default=0, help="measure only so many people picking at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="duration of their picking (default 60)")
    parser.add_argument(
        "--quick", action="store_true", help="a trial with few repetitions and 40 runs; its figures mean nothing"
    )
    a = parser.parse_args()
    repeats, many = (2, 40) if a.quick else (a.repeats, MANY)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = chromium(playwright.chromium)
        if a.sessions:
            (Path(folder) / "crowd").mkdir()
            with serving(store(Path(folder) / "crowd", FEW), Path(folder)) as url:
                found = crowd(browser, url, "run-0001", a.sessions, seconds=3.0 if a.quick else a.seconds)
            settle = summary(found["settle_ms"])
            print(
                f"{a.sessions} people, {settle['n']:,} picks: settled after {settle['median']:.0f} ms "
                f"(p95 {settle['p95']:.0f}); {len(found['wrong'])} times something not theirs was seen; "
                f"{len(found['errors'])} errors"
            )
            finish("app-sessions", {"sessions": a.sessions, **found, "settle_ms": settle})
            if found["wrong"] or found["errors"]:
                raise SystemExit("\n".join(found["wrong"] + found["errors"]))
            return
        found = everything(browser, Path(folder), repeats, many) | {"runs": many}
        browser.close()
    found["ratios"] = ratios(found)
    say(found)
    finish("app", found)
    held = found["picks"]
    if held["messages_while_dragging"] or not held["readout_in_the_next_frame"]:
        raise SystemExit("the readout does not follow the thumb by itself")


if __name__ == "__main__":
    main()
