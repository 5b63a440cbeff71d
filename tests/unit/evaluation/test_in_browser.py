"""The pages in a real browser: no error, nothing wider than a phone, every picture drawn."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from angiopipe.evaluation import card
from angiopipe.evaluation.evaluated import Evaluated
from angiopipe.evaluation.overlays import overlay
from angiopipe.evaluation.report import render

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(not BROWSER, reason="needs Chromium on the PATH: apt-get install chromium"),
]

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--log-level=0",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"

MEASURE = """<script>
addEventListener("load", () => parent.postMessage(JSON.stringify({
  width: document.documentElement.scrollWidth,
  images: [...document.images].map((image) => image.naturalWidth),
  plots: [...document.querySelectorAll("svg.plot *")].filter((part) => part.getBBox?.().width > 0).length,
  page: getComputedStyle(document.body).backgroundColor,
  hidden: (() => {
    const box = document.querySelector("#evidence"), seen = document.querySelector(".overlay");
    if (!box || !seen) return null;
    const before = getComputedStyle(seen).display;
    box.click();
    return [before, getComputedStyle(seen).display];
  })(),
}), "*"));
</script>"""
FRAME = """<!DOCTYPE html><pre id="measured"></pre>
<script>addEventListener("message", (told) => { document.querySelector("#measured").textContent = told.data; });</script>
<iframe src="page.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe>"""


class Browser:
    """Chromium with a profile of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def open(self, page: str, width: int, options: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
        """What a page measures of itself in a frame of some width, and its console's messages."""
        (self.folder / "page.html").write_text(page.replace("</body>", MEASURE + "</body>"), encoding="utf-8")
        outer = self.folder / "outer.html"
        outer.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
        run = subprocess.run(
            [str(BROWSER), *QUIET, *options, f"--user-data-dir={self.folder / 'profile'}", "--dump-dom",
             "--virtual-time-budget=5000", outer.as_uri()],
            capture_output=True, text=True, timeout=180, check=True,
        )  # fmt: skip
        found = re.search(r'<pre id="measured">(.*?)</pre>', run.stdout, re.DOTALL)
        assert found, run.stderr
        assert found[1], run.stderr
        return json.loads(found[1]), re.findall(r"CONSOLE.*", run.stderr)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.fixture
def report(evaluated: Callable[..., Evaluated]) -> str:
    """A report whose views have overlays."""
    content = evaluated("octoview")
    seen = overlay(np.eye(8, dtype=np.float32))
    studies = [
        (group, [replace(s, views=tuple(replace(v, overlay=seen) for v in s.views)) for s in some])
        for group, some in content.studies
    ]
    return render(replace(content, studies=studies))


@pytest.mark.parametrize(
    ("width", "options"), [(1200, ()), (390, ()), (390, (DARK,))], ids=["wide", "phone", "dark"]
)
def test_the_report_renders(browser: Browser, report: str, width: int, options: Sequence[str]) -> None:
    measured, console = browser.open(report, width, options)
    assert console == []
    assert measured["width"] <= width
    assert len(measured["images"]) == report.count("<img ") > 16
    assert min(measured["images"]) > 0
    assert measured["plots"] > 60
    assert measured["hidden"] == ["block", "none"]
    light = sum(map(int, re.findall(r"\d+", measured["page"])[:3])) > 384
    assert light == (DARK not in options)


def test_the_card_renders(browser: Browser, evaluated: Callable[..., Evaluated]) -> None:
    measured, console = browser.open(card.page(evaluated("octoview")), 390)
    assert console == []
    assert measured["width"] <= 390


def test_an_error_would_be_seen(browser: Browser, report: str) -> None:
    broken = report.replace("</body>", "<script>missing()</script></body>")
    _, console = browser.open(broken, 1200)
    assert any("missing is not defined" in line for line in console)


def test_the_report_prints(tmp_path: Path, report: str) -> None:
    page, paper = tmp_path / "page.html", tmp_path / "paper.pdf"
    page.write_text(report, encoding="utf-8")
    options = [*QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={paper}"]
    subprocess.run([str(BROWSER), *options, page.as_uri()], capture_output=True, timeout=180, check=True)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 14
