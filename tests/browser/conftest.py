"""One server for all browser tests of a worker, a window of its own for each test, a picture of what failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.helpers.app import DIGITS, copy_run, edit_record
from tests.helpers.app_runs import picture_run
from tests.helpers.browser import SCREENSHOTS, Open, Visitor, chromium, serving
from tests.helpers.pages import Shown, show

expect.set_options(timeout=30_000)
HOSTILE = ("**yes** <b>x</b>", "[no](http://evil.test) www.evil.test :streamlit: $x$ -> :red[x]")

FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder; a failed one runs once more: a busy machine may lose a click during a redraw."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if item.config.pluginmanager.has_plugin("rerunfailures"):
                item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that are good, one that paints a picture, one whose labels are hostile, one whose weights are damaged."""
    folder = tmp_path_factory.mktemp("browser") / "store"
    folder.mkdir()
    for name in DIGITS:
        copy_run(folder, name)
    copy_run(folder, "digits-paper", "twin")
    hostile = copy_run(folder, "digits-paper", "hostile")
    edit_record(hostile, lambda record: record.update(labels=list(HOSTILE), created="2000-01-01T00:00:00+00:00"))
    edit_record(picture_run(folder / "square"), lambda record: record.update(created="2000-01-01T00:00:00+00:00"))
    weights = copy_run(folder, "digits-paper", "damaged") / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-40] ^= 0x55
    weights.write_bytes(raw)
    return folder


@pytest.fixture(scope="session")
def server(store: Path) -> Iterator[str]:
    with serving(store, store.parent) as url:
        yield url


@pytest.fixture(scope="module")  # a started Playwright keeps an event loop, which other tests must not meet
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = chromium(playwright.chromium)
        yield found
        found.close()


@pytest.fixture
def visit(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a window on a page: `visit("/?run=digits-paper", color_scheme="dark")`."""
    opened: list[Visitor] = []

    def open_window(path: str = "/", **context: Any) -> Visitor:
        opened.append(Visitor(browser, server, **context))
        return opened[-1].open(path)

    yield open_window
    for k, visitor in enumerate(opened):
        picture(request, visitor, k)
        visitor.context.close()


@pytest.fixture
def opened(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """Open a window on a page with everything on it open: `opened(PAGES["compare"], color_scheme="dark")`."""
    windows: list[Visitor] = []

    def open_window(page: Shown, **context: Any) -> Visitor:
        windows.append(Visitor(browser, server, **context))
        return show(windows[-1], page)

    yield open_window
    for k, visitor in enumerate(windows):
        picture(request, visitor, k)
        visitor.context.close()


@pytest.fixture(scope="module")
def shared_window(browser: Browser, server: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, server).open("/?run=digits-paper&width=64")
    yield visitor
    visitor.context.close()


@pytest.fixture
def desk(shared_window: Visitor, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """A window that the tests of a module share, since opening one takes seconds; each brings it where it wants it."""
    yield shared_window
    picture(request, shared_window, 0)


def picture(request: pytest.FixtureRequest, visitor: Visitor, number: int) -> None:
    """Keep what was on the screen when a test failed, and print it in words for where a picture can't be seen."""
    if request.node.stash.get(FAILED, True):
        print(visitor.as_text())
        name = re.sub(r"[^\w.-]+", "-", request.node.nodeid.split("browser/")[-1])
        SCREENSHOTS.mkdir(exist_ok=True)
        visitor.page.screenshot(path=SCREENSHOTS / f"{name}-{number}.png", full_page=True)
