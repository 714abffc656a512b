"""Own the pictures of a report in docs/: its page in headless Chromium at the width of a desk and of a phone."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from edgeseg.report.html import write_html
from edgeseg.report.record import read_report

ROOT = Path(__file__).parents[1]
SIZES_WH = {"desktop": (1280, 1500), "phone": (390, 1100)}
QUALITY = 80


def main() -> None:
    """Draw ``benchmarks/results/demo-cpu.json``, or another report."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("report", type=Path, nargs="?", default=ROOT / "benchmarks" / "results" / "demo-cpu.json")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    # Chromium's own sandbox refuses to run as root, which a container's user is
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        write_html(read_report(asked.report), page)
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for name, size_wh in SIZES_WH.items():
            shoot(browser, page, asked.out / f"report-{name}.jpg", size_wh)
        browser.close()


def shoot(browser: Browser, page: Path, out: Path, size_wh: tuple[int, int]) -> None:
    """The top of the page, in light colours."""
    width, height = size_wh
    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    window.goto(page.as_uri())
    window.screenshot(path=out, type="jpeg", quality=QUALITY)
    window.close()
    print(out)


if __name__ == "__main__":
    main()
