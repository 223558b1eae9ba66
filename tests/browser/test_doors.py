"""The server's doors in a real browser: foreign pages stay out, its own pages work, nothing leaves the machine."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.helpers.app import ROOT
from tests.helpers.browser import Open, Visitor, chromium, serving
from tests.helpers.guarded import noted
from tests.helpers.pages import PAGES, show
from tests.helpers.sockets import outside
from tests.helpers.visitor_by_hand import fetch, handshake

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

FILE = "/model-file?run=digits-paper&format=safetensors&alone=0&width=9"
UPLOAD = "/_stcore/upload_file/a/b"
VIOLATIONS = (
    "document.addEventListener('securitypolicyviolation', e => console.error('violation', e.violatedDirective))"
)
# What a foreign page tries: to open the websocket, to read an address, to have something deleted.
TRY_SOCKET = """url => new Promise(done => {
  const socket = new WebSocket(url.replace("http", "ws") + "/_stcore/stream", ["streamlit"]);
  socket.onopen = () => done("open");
  socket.onclose = socket.onerror = () => done("closed");
})"""
TRY_FETCH = "([url, options]) => fetch(url, options).then(answer => String(answer.status), () => 'refused')"


TRY_PICTURE = """url => new Promise(done => {
  const picture = new Image();
  picture.onload = () => done("a picture");
  picture.onerror = () => done("nothing");
  picture.src = url;
})"""


@pytest.fixture(scope="module")
def foreign() -> Iterator[str]:
    """Another program's page on another port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>foreign</title><p>a foreign page")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_another_port_of_this_machine_opens_nothing(page: Page, foreign: str, server: str, store: Path) -> None:
    log = store.parent / "server.log"
    page.goto(foreign)
    assert page.evaluate(TRY_SOCKET, server) == "closed"
    for path, options in (
        (FILE, {}), ("/_stcore/health", {}), ("/_stcore/host-config", {}), (FILE, {"credentials": "include"}),
        (UPLOAD, {"method": "DELETE"}), (UPLOAD, {"method": "PUT", "body": "x"}),
    ):  # fmt: skip
        assert page.evaluate(TRY_FETCH, [server + path, options]) == "refused", path
    before = log.read_text()
    assert page.evaluate(TRY_PICTURE, server + FILE) == "nothing"
    assert log.read_text() == before, "a file is not even built for a picture that nobody sees"
    assert fetch(server + FILE)[0] == 200
    assert "download: digits-paper-w9.safetensors" in log.read_text().removeprefix(before)


def test_another_page_s_frame_stays_empty(page: Page, foreign: str, server: str) -> None:
    page.goto(foreign)
    page.evaluate(
        "url => document.body.append(Object.assign(document.createElement('iframe'), { src: url }))", server + "/runs"
    )
    page.wait_for_function("() => frames.length === 1")
    frame = page.frames[1]
    frame.wait_for_url(re.compile("^chrome-error:"))
    assert frame.locator(".stApp").count() == 0


def test_a_rebound_name_opens_nothing(browser: Browser, server: str) -> None:
    """DNS rebinding: a site's name leads to this machine, so that the browser takes its pages for the site's own."""
    rebound = f"http://evil.test:{server.rpartition(':')[2]}"
    rebinding = chromium(browser.browser_type, "--host-resolver-rules=MAP evil.test 127.0.0.1")
    page = rebinding.new_page()
    answer = page.goto(f"{rebound}/runs")
    assert answer
    assert answer.status == 403
    expect(page.locator("body")).to_contain_text("This server answers to localhost, not to 'evil.test'")
    assert page.evaluate(TRY_SOCKET, rebound) == "closed"
    assert page.evaluate(TRY_FETCH, [rebound + FILE, {}]) == "403"
    assert page.evaluate(TRY_FETCH, [rebound + UPLOAD, {"method": "DELETE"}]) == "403"
    rebinding.close()


@pytest.mark.parametrize(("name", "scheme"), zip(PAGES, itertools.cycle(["light", "dark"]), strict=False))
def test_every_page_works_under_its_policy(browser: Browser, server: str, name: str, scheme: str) -> None:
    visitor = Visitor(browser, server, color_scheme=scheme)
    visitor.context.add_init_script(VIOLATIONS)
    show(visitor, PAGES[name])
    assert visitor.errors == []
    assert visitor.elsewhere == []
    visitor.context.close()


def test_the_policy_stops_what_a_page_must_not_do(visit: Open) -> None:
    visitor = visit("/")
    visitor.context.add_init_script(VIOLATIONS)
    failures: list[str | None] = []
    answers: list[str] = []
    visitor.page.on("requestfailed", lambda request: failures.append(request.failure))
    visitor.page.on("response", lambda answer: answers.append(answer.url))
    visitor.page.evaluate(
        """() => {
          document.body.append(Object.assign(new Image(), { src: "http://outside.invalid/x.png" }));
          document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = 1" }));
          return fetch("http://outside.invalid/").catch(() => 0);
        }"""
    )
    assert visitor.page.evaluate("window.ran") is None
    assert set(failures) == {"csp"}
    assert not [url for url in answers if "outside.invalid" in url]
    assert len([error for error in visitor.errors if "Content Security Policy" in error]) >= 3
    assert visitor.page.evaluate("document.title") == "One training, every size"


def test_the_guard_notes_what_leaves_the_machine_and_the_folder(tmp_path: Path) -> None:
    write = 1 | 64
    for event, arguments in (
        ("socket.connect", (None, ("192.0.2.1", 80))), ("socket.connect", (None, ("2001:db8::1", 80, 0, 0))),
        ("socket.sendto", (None, ("192.0.2.1", 53))), ("socket.getaddrinfo", ("outside.invalid", 443, 0, 0, 0)),
        ("subprocess.Popen", ("curl", ["curl"], None, None)), ("os.mkdir", ("/y", 511, -1)),
        ("open", ("/etc/x", "w", write)), ("open", (tmp_path / ".." / "z", "w", write)),
    ):  # fmt: skip
        assert noted(event, arguments, tmp_path.resolve()), event
    for event, arguments in (
        ("socket.connect", (None, ("127.0.0.1", 80))), ("socket.connect", (None, "/run/x")),
        ("socket.getaddrinfo", ("localhost", 443, 0, 0, 0)), ("open", ("/etc/x", "r", 0)),
        ("open", (tmp_path / "z", "w", write)), ("open", (3, "w", write)),
    ):  # fmt: skip
        assert not noted(event, arguments, tmp_path.resolve()), event


def test_nothing_leaves_the_machine_and_nothing_is_written_elsewhere(
    browser: Browser, store: Path, tmp_path: Path
) -> None:
    """Pages are opened, every kind of file is downloaded, a run is packed, a foreign websocket is tried."""
    home, report = tmp_path / "home", tmp_path / "report"
    home.mkdir()
    guard = (str(ROOT / "tests" / "helpers" / "guarded.py"), str(report), str(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    connected: set[str] = set()
    ended = threading.Event()
    settings = {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0"}  # for which Streamlit's own greeting asks for outside addresses
    settings |= {"TMPDIR": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    with serving(store, home, runner=guard, **settings) as url:
        process = int(report.read_text().split()[1])

        def watch() -> None:
            while not ended.wait(0.02):
                connected.update(outside(process))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            for name in ("pick", "compare", "runs"):
                visitor = Visitor(browser, url)
                show(visitor, PAGES[name])
                if name == "runs":
                    with visitor.page.expect_download():
                        visitor.page.get_by_role("button", name="Download the whole run").click()
                visitor.context.close()
            for kind in ("safetensors", "onnx", "bundle", "pt2"):
                assert fetch(url + FILE.replace("safetensors", kind))[0] == 200
            for host, origin in (
                (url[7:], "http://evil.test"),
                (f"evil.test:{url.rpartition(':')[2]}", "http://evil.test"),
            ):
                assert handshake(url, Host=host, Origin=origin)[0] == 403
            assert fetch(url, Host="evil.test")[0] == 403
        finally:
            ended.set()
            watching.join()
    assert report.read_text().splitlines()[1:] == []
    assert connected == set()
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["server.log"]
