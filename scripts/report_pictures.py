"""Own the pictures of a report in docs/: its page in headless Chromium at the width of a desk and of a phone."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from browser_lab import chromium, opened_browser

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
    program = chromium()
    if program is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, opened_browser(program) as browser:
        page = Path(folder) / "report.html"
        write_html(read_report(asked.report), page)
        for name, size_wh in SIZES_WH.items():
            shoot(browser, page, asked.out / f"report-{name}.jpg", size_wh)


def shoot(browser: Any, page: Path, out: Path, size_wh: tuple[int, int]) -> None:
    """The top of the page, in light colours."""
    width, height = size_wh
    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    window.goto(page.as_uri())
    window.screenshot(path=out, type="jpeg", quality=QUALITY)
    window.close()
    print(out)


if __name__ == "__main__":
    main()
