"""Several people who pick sizes at once, each in a window that works by itself."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, expect

from tests.helpers.browser import DEEP, Visitor

# Each picks every n-th size, from a size of its own on, so that a size of another's would be seen at once. The sentence
# follows the slider in the browser; the file's name, in a box that is open, comes from the server.
PICKING = """([person, people, until, picks]) => {
  DEEP;
  const live = deep(".live"), input = live.querySelector("input"), { rows } = live.state.data;
  const own = rows.filter((_, k) => k % people === person && k < rows.length - 1).map((row) => row.units);
  const widths = Object.fromEntries(rows.map((row) => [row.width, row.units]));
  const main = document.querySelector(".stMain"), result = window.picking = { ms: [], wrong: [], done: false };
  const chosen = () => main.textContent.match(/Your choice: ([\\d,]+ units?)\\./)?.[1];
  const served = () => widths[main.querySelector(".stCode")?.textContent.match(/-w(\\d+)\\.safetensors/)?.[1]];
  const end = Date.now() + until;
  let wanted = null, began = 0, turn = 0, late = null;
  const stop = () => { watch.disconnect(); result.done = true; };
  const next = () => {
    if ((picks && result.ms.length >= picks) || Date.now() > end) return stop();
    wanted = own[(turn++ * 7 + 1) % own.length];
    if (wanted === chosen()) wanted = own[(turn++ * 7 + 1) % own.length];
    const k = rows.findIndex((row) => row.units === wanted);
    late = setTimeout(() => { result.wrong.push(`${wanted} was never said`); stop(); }, 30000);
    began = performance.now();
    live.state.byHand = true;
    input.value = String(live.state.places[k]);
    for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
    live.state.byHand = false;
  };
  const watch = new MutationObserver(() => {
    if (wanted === null) return;
    const said = [chosen(), served()];
    if (result.ms.length) // before that it is what the page was opened on
      for (const text of said) if (text && !own.includes(text)) result.wrong.push(`person ${person} saw ${text}`);
    if (said[0] !== wanted || said[1] !== wanted) return;
    clearTimeout(late);
    result.ms.push(performance.now() - began);
    wanted = null;
    setTimeout(next, 0);
  });
  watch.observe(main, { subtree: true, childList: true, characterData: true });
  next();
}""".replace("  DEEP;", DEEP)


def open_box(window: Visitor) -> None:
    """Open the box that names the file: what is in it only the server can say, so it hears of each pick at once."""
    window.page.get_by_role("radiogroup", name="File").get_by_text("Weights only (safetensors)").click()
    window.settle()
    window.page.get_by_text("What is inside, and how to use it").click()
    expect(window.page.get_by_test_id("stCode")).to_contain_text(".safetensors", timeout=120_000)
    window.settle()


def crowd(
    browser: Browser, url: str, run: str, people: int, *, seconds: float = 600.0, picks: int = 0
) -> dict[str, list[Any]]:
    """Let so many windows pick by themselves, all at once, for some `seconds` or so many `picks` each.

    Gives the `settle_ms` of every pick, whatever was `wrong` to see, and all `errors`.
    """
    windows = [Visitor(browser, url) for _ in range(people)]
    for window in windows:  # all at once
        window.page.goto(f"{url}/?run={run}&width=2", wait_until="commit")
    for window in windows:
        expect(window.page.locator(".live")).to_have_attribute("data-width", "2", timeout=120_000)
        expect(window.page.get_by_role("button", name="Download 2 units")).to_be_visible(timeout=120_000)
        window.settle()
        open_box(window)
    for person, window in enumerate(windows):
        window.page.evaluate(PICKING, [person, people, 1e3 * seconds, picks])
    found: dict[str, list[Any]] = {"settle_ms": [], "wrong": [], "errors": []}
    for window in windows:
        window.page.wait_for_function("() => picking.done", timeout=1e3 * seconds + 60_000)
        own = window.page.evaluate("picking")
        found["settle_ms"] += own["ms"]
        found["wrong"] += own["wrong"]
        found["errors"] += window.errors
    for window in windows:
        window.context.close()
    return found
