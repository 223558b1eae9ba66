"""The README's picture: Pick a size on the sample runs, as a first visitor sees it.

python tests/browser/screenshot.py [OUT.png]
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402 (after the path)
from playwright.sync_api import sync_playwright  # noqa: E402

from tests.helpers.app import SAMPLES  # noqa: E402
from tests.helpers.browser import Visitor, chromium, serving  # noqa: E402

MOST_BYTES = 200_000


def main(out: Path) -> None:
    """Down to the end of the chart, in a palette, which halves the file and is not seen in flat colours."""
    with tempfile.TemporaryDirectory() as home, serving(SAMPLES, Path(home)) as url, sync_playwright() as playwright:
        browser = chromium(playwright.chromium)
        visitor = Visitor(browser, url, viewport={"width": 1280, "height": 2000}, color_scheme="light")
        visitor.open("/?run=fashion-stratified")
        chart = visitor.page.locator(".stPlotlyChart")
        box = chart.bounding_box()
        assert box
        clip = {"x": 0, "y": 0, "width": 1280, "height": box["y"] + box["height"] + 10}
        png = visitor.page.screenshot(clip=clip, animations="disabled")
        browser.close()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(out, optimize=True)
    size = out.stat().st_size
    assert size <= MOST_BYTES, f"{out} has {size:,} bytes, more than the {MOST_BYTES:,} that the README may load"
    print(f"{out}: {size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES / "screenshot.png")
