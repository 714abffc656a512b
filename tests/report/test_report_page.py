"""The HTML report in headless Chromium: nothing is loaded, nothing sticks out, and it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_lab import browser

from edgeseg.report.html import write_html
from edgeseg.report.record import Report

__all__ = ["browser"]

WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def address(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(report, path)
    return path.as_uri()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_fits_its_window_and_loads_nothing(browser: Any, address: str, width: int) -> None:
    said: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.on("console", lambda one: said.append(one.text))
    page.on("pageerror", lambda one: said.append(str(one)))
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    plots = page.evaluate("[...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().height)")
    assert len(plots) >= 5 and min(plots) > 50
    assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('table td')).fontSize)") >= 12
    assert (said, asked) == ([], [address])
    page.close()


def test_the_page_prints(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    widest = page.evaluate("Math.max(...[...document.querySelectorAll('svg')].map(one => one.clientWidth))")
    assert widest <= page.evaluate("document.body.clientWidth")
    page.close()
