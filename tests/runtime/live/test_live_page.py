"""The live view's page in headless Chromium, fed with known pictures."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from browser_lab import browser
from live_lab import TOKEN, feed, live_view, state_of

from edgeseg.runtime.live import LiveHooks

__all__ = ["browser"]

pytest.importorskip("aiohttp")

DEADLINE_S = 20.0
SKY_XY, GROUND_XY = (5, 5), (5, 40)
SKY, GROUND = [40, 40, 200], [200, 40, 40]
FIRST_SERIES = [11, 98, 196]  # --s0 of the light colours in live.css


@pytest.fixture
def complaints() -> list[str]:
    """What the page said to its console; a test that expects some clears it."""
    return []


@pytest.fixture
def page(browser: Any, complaints: list[str]) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    opened.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.set_default_timeout(DEADLINE_S * 1e3)
    yield opened
    opened.close()
    assert complaints == []


def is_complaint(said: Any) -> bool:
    """An error or a warning, but for the one that ``pixel`` earns by reading the canvas."""
    return said.type in ("error", "warning") and "willReadFrequently" not in said.text


def pixel(page: Any, xy: tuple[int, int]) -> list[int]:
    read = (
        "([x, y]) => [...document.getElementById('picture').getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
    )
    return page.evaluate(read, list(xy))


def sequence(page: Any) -> int:
    return int(page.inner_text("#picture-facts").split()[1])


def until(page: Any, claim: str) -> None:
    """Wait until an expression holds; the page's policy forbids Playwright's own way, an eval in the page."""
    end_s = time.monotonic() + DEADLINE_S
    while not page.evaluate(claim):
        assert time.monotonic() < end_s, claim
        page.wait_for_timeout(20)


def wait_for_picture(page: Any) -> None:
    until(page, "document.getElementById('picture-facts').textContent.startsWith('frame')")


def until_not(page: Any, held: int) -> None:
    """Wait for another picture than the one with that number."""
    until(page, f"!document.getElementById('picture-facts').textContent.startsWith('frame {held} ')")


def hold(page: Any) -> None:
    """Freeze the picture, and see that it stands."""
    wait_for_picture(page)
    page.click("#hold")
    held = sequence(page)
    page.wait_for_timeout(300)
    assert sequence(page) == held


def test_the_picture_moves_and_hold_freezes_it(page: Any) -> None:
    with live_view() as view, feed(view):
        page.goto(view.url)
        wait_for_picture(page)
        before = pixel(page, GROUND_XY)
        end_s = time.monotonic() + DEADLINE_S
        while pixel(page, GROUND_XY) == before:
            assert time.monotonic() < end_s
        hold(page)
        held = sequence(page)
        page.click("#hold")
        until_not(page, held)


def test_the_strength_slider_acts_on_a_frozen_frame_by_keyboard(page: Any) -> None:
    with live_view() as view, feed(view):
        page.goto(view.url)
        hold(page)
        page.focus("#strength")
        page.keyboard.press("End")
        assert page.inner_text("#strength-value") == "100 %"
        assert (pixel(page, SKY_XY), pixel(page, GROUND_XY)) == (SKY, GROUND)
        page.keyboard.press("Home")
        red, green, blue = pixel(page, SKY_XY)
        assert red == green == blue  # the camera's grey
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#strength-value") == "1 %"


def test_a_class_is_hidden_and_shown_by_keyboard_and_for_this_viewer_alone(page: Any, browser: Any) -> None:
    with live_view() as view, feed(view):
        other = browser.new_page()
        other.goto(view.url)
        page.goto(view.url)
        hold(page)
        hold(other)
        page.focus("#strength")
        page.keyboard.press("End")
        page.focus("#legend li:nth-child(2) input")
        page.keyboard.press("Space")
        red, green, blue = pixel(page, SKY_XY)
        assert red == green == blue
        assert pixel(page, GROUND_XY) == GROUND
        page.keyboard.press("Space")
        assert pixel(page, SKY_XY) == SKY
        page.click("#hide-all")
        assert len(set(pixel(page, GROUND_XY))) == 1
        page.click("#show-all")
        assert pixel(page, GROUND_XY) == GROUND
        assert len(set(pixel(other, SKY_XY))) > 1
        other.close()


def test_the_legend_has_names_as_text_colours_and_right_areas(page: Any) -> None:
    with live_view() as view, feed(view):
        page.goto(view.url)
        wait_for_picture(page)
        rows = page.locator("#legend li")
        assert rows.locator(".name").all_inner_texts() == ["ground", "<b>sky</b>", "never"]
        assert rows.locator(".area").all_inner_texts() == ["75.0 %", "25.0 %", "-"]
        colours = rows.locator(".swatch").evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
        assert colours == ["rgb(200, 40, 40)", "rgb(40, 40, 200)", "rgb(40, 200, 40)"]


def test_plots_and_figures_fill(page: Any) -> None:
    masks = itertools.count(20, 20)
    hooks = LiveHooks(state=lambda: state_of(next(masks)), stages_ms=lambda: {"engine": 5.0})
    with live_view(hooks) as view, feed(view):
        page.goto(view.url)
        for name in ("stages", "age", "rate"):
            until(page, f"Number(document.getElementById('{name}-plot').dataset.points) > 10")
            assert painted(page, name) > 0
        assert page.inner_text("#stages-key").startswith("engine ")
        texts = lambda where: page.locator(where).all_inner_texts()  # noqa: E731
        assert texts("#stages tbody td") == ["engine", "5.00", "6.00", "6.00", "6.00", "2"]
        counts = dict(zip(texts("#counts dt"), texts("#counts dd"), strict=True))
        names = ("dropped", "stale", "corrupt", "sink drops", "reconnects", "stalls", "reloads")
        assert [counts[name] for name in names] == ["6", "4", "2", "7", "4", "2", "5"]
        sources = texts("#sources tbody td")
        assert (sources[:3], sources[4:6]) == (["v4l2:///dev/video0", "running", "20 ms"], ["3", "4"])
        assert sources[6:9] == ["rtsp://cam", "waiting", "-"]
        assert texts("#errors li") == ["rtsp://cam: <i>no answer</i>"]
        assert texts("#sinks tbody td") == ["out.mp4", "open", "2", "7"]
        assert page.locator("#device dt").all_inner_texts().count("memory") == 1


def painted(page: Any, name: str) -> int:
    """Pixels of a plot in the colour of its first series."""
    count = """([id, colour]) => {
        const canvas = document.getElementById(id);
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let found = 0;
        for (let at = 0; at < data.length; at += 4)
            if (data[at + 3] > 90 && colour.every((one, index) => Math.abs(data[at + index] - one) < 12)) found += 1;
        return found;
    }"""
    return page.evaluate(count, [f"{name}-plot", FIRST_SERIES])


def test_the_page_comes_back_when_the_server_does(page: Any, complaints: list[str]) -> None:
    with live_view() as view, feed(view):
        page.goto(view.url)
        hold(page)
        page.click("#hold")
        page.uncheck("#legend li:nth-child(2) input")
    page.wait_for_selector("#link.is-lost")
    with live_view(port=int(view.url.rstrip("/").rsplit(":", 1)[1])) as view, feed(view):
        page.wait_for_selector("#link.is-live")
        seen = sequence(page)
        until_not(page, seen)
        assert not page.is_checked("#legend li:nth-child(2) input")  # what this viewer chose stays
    assert all("WebSocket" in one for one in complaints)  # the browser's own words for a server that is not there
    complaints.clear()


def test_another_source_is_shown_when_it_is_chosen(page: Any) -> None:
    with live_view(LiveHooks(state=state_of)) as view, feed(view), feed(view, source=1):
        page.goto(view.url)
        wait_for_picture(page)
        page.select_option("#source", "1")
        until(page, "document.getElementById('picture').getAttribute('aria-label').includes('source 1')")
        until_not(page, sequence(page))
        assert "source=1&" in page.get_attribute("#save", "href")


def test_a_phone_has_no_horizontal_scroll_and_dark_colours_where_asked_for(page: Any) -> None:
    with live_view(LiveHooks(state=state_of)) as view, feed(view):
        page.set_viewport_size({"width": 360, "height": 740})
        page.emulate_media(color_scheme="dark")
        page.goto(view.url)
        wait_for_picture(page)
        page.wait_for_selector("#sources:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert max(red, green, blue) < 60


def test_the_page_reloads_the_engine_with_the_token_alone(page: Any, complaints: list[str]) -> None:
    asked: list[int] = []
    with live_view(LiveHooks(reload=lambda: asked.append(1)), token=TOKEN) as view:
        page.goto(view.url)
        answers = []
        for token in ("a wrong one", TOKEN):
            page.fill("#token", token)
            page.press("#token", "Enter")
            until(page, f"![{answers!r}, ''].flat().includes(document.getElementById('reload-answer').textContent)")
            answers.append(page.inner_text("#reload-answer"))
    assert (answers, asked) == (["the token is wrong", "asked for"], [1])
    assert all("403" in one for one in complaints)  # the browser tells of every refused request
    complaints.clear()


def test_no_reload_is_offered_where_there_is_none(page: Any) -> None:
    with live_view() as view:
        page.goto(view.url)
        page.wait_for_selector("#link.is-live")
        assert not page.is_visible("#reload")


def test_the_saved_picture_is_as_this_viewer_sees_it(page: Any) -> None:
    with live_view() as view, feed(view):
        page.goto(view.url)
        wait_for_picture(page)
        page.uncheck("#legend li:nth-child(1) input")
        page.focus("#strength")
        page.keyboard.press("Home")
        assert page.get_attribute("#save", "href") == "snapshot.png?source=0&alpha=0&hide=0"
        with page.expect_download() as saving:
            page.click("#save")
        assert saving.value.suggested_filename == "edgeseg.png"
