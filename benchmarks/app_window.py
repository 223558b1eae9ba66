"""A browser window that records when its page last changed, for `app.py`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from measure import ROOT
from playwright.sync_api import Browser, Locator, Page

from tests.helpers.browser import DEEP, IDLE

SAMPLE = ROOT / "sample_checkpoints" / "fashion-stratified"  # 256 widths; a file of 1.1 MB at full size
QUIET_MS = 500  # without a change: the page has settled
TALL = {"width": 1280, "height": 1500}
PATIENCE_MS = 120_000

# Times are in ms on the page's own clock, which starts when its address is opened.
PROBE = """(() => {
  DEEP;
  const probe = window.probe = { sent: 0, sentAt: 0, released: 0, last: 0, table: 0, bytes: 0, frames: [] };
  probe.deep = deep;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    probe.sent++;
    probe.sentAt = performance.now();
    if (!this.counted) {
      this.counted = true;
      this.addEventListener("message", (event) => { probe.bytes += event.data.byteLength ?? event.data.size ?? 0; });
    }
    return send.call(this, data);
  };
  window.addEventListener("pointerdown", () => { probe.held = true; }, true);
  window.addEventListener("pointerup", () => { probe.held = false; probe.released = performance.now(); }, true);
  window.addEventListener("input", () => {  // before the slider's own listener
    if (!probe.held) return;
    const began = performance.now();
    requestAnimationFrame(() => {
      const live = deep(".live");
      if (!live) return;
      const { places, data } = live.state, place = Number(live.querySelector("input").value);
      let near = 0;
      places.forEach((p, k) => { if (Math.abs(p - place) < Math.abs(places[near] - place)) near = k; });
      const shown = live.querySelector('[data-part="units"]').textContent;
      const mark = document.querySelector(".picked-mark");
      const follows = shown === data.rows[near].units && mark.textContent.includes(shown);
      probe.frames.push([performance.now() - began, follows]);
    });
  }, true);
  const changed = (records) => {
    if (!records.some((r) => (r.target.closest ? r.target : r.target.parentElement)?.closest?.(".stMain"))) return;
    probe.last = performance.now();
    if (!probe.table && document.querySelector('[data-testid="stDataFrame"] canvas')) probe.table = probe.last;
  };
  document.addEventListener("DOMContentLoaded", () => new MutationObserver(changed).observe(document.body, {
    subtree: true, childList: true, characterData: true, attributes: true,
  }));
})()""".replace("  DEEP;", DEEP)
SETTLED = """([selector, quiet, told]) => document.querySelector(selector)
  && (!told || probe.sentAt >= probe.released)
  && performance.now() - Math.max(probe.last, probe.released) > quiet"""


class Window:
    """One person's page, with a slider of the explorer or of Streamlit."""

    def __init__(self, browser: Browser, url: str, path: str = "/", *, told: bool = False) -> None:
        self.told = told  # whether each pick is sent to the server at once
        self.context = browser.new_context(viewport=TALL, accept_downloads=True)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script(PROBE)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url + path)

    def settled(self) -> None:
        """Wait until nothing has changed on the page for `QUIET_MS`."""
        self.page.wait_for_function(SETTLED, arg=[IDLE, QUIET_MS, False], polling=50)

    def figure(self, expression: str) -> Any:
        """Return the value of an expression in the page, such as a figure of the probe."""
        return self.page.evaluate(expression)

    def opened(self, *wanted: str) -> float:
        """Open the address; return seconds to the last change once these selectors match."""
        for selector in wanted:
            self.page.locator(selector).first.wait_for(state="attached")
        self.settled()
        return float(self.figure("probe.last")) / 1e3

    def unfold(self) -> None:
        """Open the box on how to use the file, whose content only the server can render."""
        self.page.get_by_text("What is inside, and how to use it").click()
        self.page.get_by_test_id("stCode").first.wait_for(state="attached")
        self.settled()

    @property
    def _track(self) -> Locator:
        live = self.page.locator(".live input")
        return live if live.count() else self.page.locator('[data-testid="stSlider"] [role="group"]')

    @property
    def _thumb(self) -> tuple[float, float]:
        own = self.page.locator('[data-testid="stSliderThumbValue"]')
        if own.count():
            box = own.locator("xpath=..").bounding_box()
            assert box
            return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        box = self._track.bounding_box()
        assert box
        share = float(self._track.evaluate("e => (e.value - e.min) / (e.max - e.min)"))
        radius = box["height"] * 0.32  # radius of the thumb, which does not leave the track
        return box["x"] + radius + share * (box["width"] - 2 * radius), box["y"] + box["height"] / 2

    def pick(self, share: float, steps: int = 8) -> dict[str, float]:
        """Drag the thumb to a share of the track and release it; return ms to the last change, messages and bytes."""
        self._track.scroll_into_view_if_needed()
        box = self._track.bounding_box()
        assert box
        mouse, (x, y) = self.page.mouse, self._thumb
        end = box["x"] + share * box["width"]
        mouse.move(x, y)
        mouse.down()
        self.figure("probe.frames = []")
        before = self.figure("probe.sent")
        for k in range(1, steps + 1):
            mouse.move(x + (end - x) * k / steps, y)
        self.page.wait_for_timeout(100)  # for the last frame, and for a message that must not be sent
        sent = self.figure("probe.sent") - before
        self.figure("probe.bytes = 0")
        mouse.up()
        self.page.wait_for_function(SETTLED, arg=[IDLE, QUIET_MS, self.told], polling=50)
        settled, size, total = self.figure("[probe.last - probe.released, probe.bytes, probe.sent]")
        messages = total - before - sent
        assert messages == self.told, f"{messages} messages after the release"
        return {"released": max(settled, 0.0), "messages": messages, "bytes": size, "sent_while_held": sent}

    @property
    def frames(self) -> list[tuple[float, bool]]:
        """Return ms to the next frame and whether readout and mark had followed, for each movement of the last drag."""
        return [(float(ms), bool(follows)) for ms, follows in self.figure("probe.frames")]

    def close(self) -> None:
        """Close the window; raise an error for anything that failed in it."""
        self.context.close()
        assert not self.errors, self.errors


def store(folder: Path, runs: int) -> Path:
    """Make a store with copies of the sample run, which share their files on disk except for run.json."""

    def copy(source: str, target: str) -> None:
        if source.endswith("run.json"):
            shutil.copy2(source, target)
        else:
            os.link(source, target)

    whole = folder / "sample"
    shutil.copytree(SAMPLE, whole)
    (folder / "store").mkdir()
    for k in range(runs):
        shutil.copytree(whole, folder / "store" / f"run-{k:04}", copy_function=copy)
    return folder / "store"
