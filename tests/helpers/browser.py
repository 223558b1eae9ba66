"""A real server and a real browser for the tests of the explorer, and for its screenshot."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import (
    Browser,
    BrowserType,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    WebSocket,
    expect,
)

from app.store.cache import VARIABLE
from app.words import GLUE
from tests.helpers.app import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
)  # fmt: skip
START_SECONDS = 60.0
# One run may ask for another: a page is still once it has been idle for so many ms on end.
STILL_MS = 150
STILL = """([idle, ms]) => {
  const now = performance.now();
  window.idleSince = document.querySelector(idle) ? window.idleSince ?? now : undefined;
  return window.idleSince !== undefined && now - window.idleSince >= ms;
}"""
IDLE = '.stApp[data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
# The first element that a selector finds, those in the shadows of components included.
DEEP = """  const deep = (selector, root = document) => {
    const found = root.querySelector(selector);
    if (found) return found;
    for (const e of root.querySelectorAll("*")) {
      const inside = e.shadowRoot && deep(selector, e.shadowRoot);
      if (inside) return inside;
    }
    return null;
  };"""
SCREENSHOTS = ROOT / "tests" / "screenshots"
LOOKS: list[tuple[Literal["light", "dark"], int]] = [("light", 390), ("dark", 390), ("dark", 1280), ("light", 1280)]


def chromium(kind: BrowserType, *flags: str) -> Browser:
    """CHROME_PATH, an installed Chromium or Chrome, or Playwright's own; with more command-line `flags`."""
    path = os.environ.get("CHROME_PATH") or next((found for name in NAMES if (found := shutil.which(name))), None)
    return kind.launch(executable_path=path, args=[*QUIET, *flags])


@contextmanager
def serving(
    store: Path, home: Path, *script: str, runner: Sequence[str] = ("-m", "streamlit"), **environment: str
) -> Iterator[str]:
    """The explorer, or another Streamlit `script` with its arguments, on a free port; gives its address.

    `runner` takes the place of Streamlit's command; `environment` is added to this process's.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    name, *arguments = script or ("app/server.py",)
    log = home / "server.log"
    with log.open("wb") as out:
        command = [sys.executable, *runner, "run", name, "--server.port", str(port), "--", *arguments]
        variables = {**os.environ, VARIABLE: str(store), "HOME": str(home), **environment}
        server = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        waited = 0.0
        while not _healthy(url):
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                waited += 0.1
                assert waited < START_SECONDS, f"the server did not start: {log.read_text()}"
            else:
                raise AssertionError(f"the server ended: {log.read_text()}")
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def placed(run: Path, store: Path, name: str) -> Iterator[Path]:
    """A copy of a run in a store that is being looked at, whole at once; taken away afterwards."""
    shutil.copytree(run, store.parent / f"{name}.coming")
    (store.parent / f"{name}.coming").rename(store / name)
    try:
        yield store / name
    finally:
        shutil.rmtree(store / name)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Visitor:
    """One person's window: what it sent to the server, what it asked of others, and what went wrong in it."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, "accept_downloads": True, **context}
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.url = url
        self.sent = 0  # messages to the server
        self.elsewhere: list[str] = []  # requests that left this machine
        self.errors: list[str] = []
        self.page.on("websocket", self._follow)
        self.page.on("request", self._note)
        self.page.on("response", self._judge)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _follow(self, socket: WebSocket) -> None:
        def count(_: object) -> None:
            self.sent += 1

        socket.on("framesent", count)

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # those are judged
            self.errors.append(message.text)

    def _judge(self, response: Response) -> None:
        # on a page's own address Streamlit looks for its server there first, and then at the root
        if response.status >= 400 and "/_stcore/" not in response.url:
            self.errors.append(f"{response.status} {response.url}")

    def open(self, path: str = "/") -> Visitor:
        self.page.goto(self.url + path)
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()
        expect(self.page.locator(".stPlotlyChart .legendtext").first).to_be_visible()
        if "compare" not in path:  # the slider's script comes after its shape
            expect(self.page.locator(".live")).to_have_attribute("data-width", re.compile(r"\d+"))
        self.settle()
        return self

    def settle(self) -> None:
        """Wait until nothing is on its way. Only after a state that shows that the server has heard."""
        expect(self.page.locator(IDLE)).to_be_attached()
        self.page.evaluate("window.idleSince = undefined")
        self.page.wait_for_function(STILL, arg=[IDLE, STILL_MS])

    @property
    def slider(self) -> Locator:
        return self.page.get_by_role("slider", name="Size")

    def shown(self, part: str) -> str:
        """A part of the readout: value, interval, change, size, params, units."""
        found = self.page.locator(f'.live [data-part="{part}"]')
        expect(found).not_to_be_empty()
        return found.inner_text().replace(GLUE, " ")

    @property
    def width(self) -> int:
        """The size that the readout is about."""
        return int(self.page.locator(".live").get_attribute("data-width") or -1)

    def expect_link(self, **wanted: str) -> None:
        """Wait until the address says what is on the screen."""
        for name, value in wanted.items():
            expect(self.page).to_have_url(re.compile(rf"[?&]{name}={re.escape(value)}(&|$)"))
        self.settle()

    def at(self, share: float) -> tuple[float, float]:
        """A point on the slider, from its left end to its right."""
        self.slider.scroll_into_view_if_needed()
        box = self.slider.bounding_box()
        assert box
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    def looks(self) -> Iterator[int]:
        """The window on a phone and on a desk, light and dark, one after the other; gives its width."""
        for scheme, width in LOOKS:
            self.page.emulate_media(color_scheme=scheme)
            self.page.set_viewport_size({"width": width, "height": 900})
            dark = "getComputedStyle(document.querySelector('.stApp')).backgroundColor.match(/\\d+/)[0] < 128"
            self.page.wait_for_function(f"() => {dark} == {str(scheme == 'dark').lower()}")
            self.settle()
            yield width

    def as_text(self) -> str:
        """Describe the screen in words, for the report of a failed test without a picture."""
        state = self.page.locator(".stApp").first.get_attribute("data-test-script-state", timeout=1_000)
        said = self.page.locator("body").aria_snapshot(timeout=5_000)
        return f"{self.page.url}\nserver: {state}, sent: {self.sent}, errors: {self.errors}\n{said}"

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        found: int = self.page.evaluate(
            "Math.max(document.documentElement.scrollWidth, document.querySelector('.stMain').scrollWidth) - innerWidth"
        )
        return found


Open = Callable[..., Visitor]  # `visit(path, **how the window is)`
