from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace
from page_check import checked
from rich.console import Console

from edgeseg.report import drawing, plots, text
from edgeseg.report.html import html
from edgeseg.report.markdown import markdown
from edgeseg.report.output import ENDINGS, write_report
from edgeseg.report.record import Comparison, Report, read_report
from edgeseg.report.terminal import print_report

NASTY = "<b>|`$x$ _[red]&amp;\"'"


def renamed(report: Report, name: str) -> Report:
    """The report with another name of its second engine."""
    old = report.engines[1].name
    return replace(
        report,
        engines=(report.engines[0], replace(report.engines[1], name=name)),
        measurements=tuple(replace(one, engine=name) if one.engine == old else one for one in report.measurements),
        comparisons=tuple(replace(one, engine=name) for one in report.comparisons),
    )


def alone(report: Report) -> Report:
    """The report of the first engine alone."""
    name = report.engines[0].name
    measurements = tuple(one for one in report.measurements if one.engine == name)
    return replace(report, engines=report.engines[:1], measurements=measurements, comparisons=())


def printed(report: Report, *, width: int = 100) -> str:
    output = io.StringIO()
    print_report(report, Console(file=output, width=width))
    return output.getvalue()


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return html(report)


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    addresses = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "http" not in addresses
    assert not {"script", "link", "img", "iframe"} & set(checked(page).tags)
    assert not re.search(r"@import|url\((?!#)|src=", page)


def test_the_page_is_well_formed_and_its_ids_are_unique(page: str) -> None:
    ids = checked(page).ids
    assert ids
    assert len(ids) == len(set(ids))


def test_every_reference_within_the_page_has_its_target(page: str) -> None:
    ids = set(checked(page).ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= ids


def test_the_page_is_the_same_each_time(report: Report, page: str) -> None:
    assert html(report) == page


def test_the_page_has_a_plot_of_each_kind(page: str) -> None:
    words = checked(page).words
    assert (words.count("Distribution"), words.count("Timeline"), words.count("Where the time goes")) == (2, 2, 1)
    assert checked(page).tags.count("svg") == 7


def test_the_page_follows_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert not any(colour in page for colour in drawing.PAGE_COLOURS)


@pytest.mark.parametrize("scope", ["engine", "frame-to-mask"])
def test_a_page_of_one_scope_and_one_engine_is_whole(report: Report, scope: str) -> None:
    only = alone(report)
    measurements = tuple(one for one in only.measurements if one.scope == scope)
    assert checked(html(replace(only, measurements=measurements))).tags.count("svg") == 3 + (scope == "frame-to-mask")


def test_names_are_text_in_the_page_and_not_markup(report: Report) -> None:
    checker = checked(html(renamed(report, NASTY)))
    assert "b" not in checker.tags
    assert any(word.strip() == NASTY for word in checker.words)


def test_every_plot_is_xml_with_a_nasty_name_in_it(report: Report) -> None:
    nasty = renamed(report, NASTY)
    drawn = [plots.stage_bars(nasty, "frame-to-mask")]
    for scope in nasty.settings.scopes:
        drawn += [draw(nasty, scope) for draw in (plots.histograms, plots.percentiles, plots.timeline)]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert "viewBox" in root.attrib
        assert not {"width", "height"} & set(root.attrib)
    assert NASTY in "".join(ElementTree.fromstring(drawn[0]).itertext())


def test_names_are_escaped_in_markdown(report: Report) -> None:
    document = markdown(renamed(report, NASTY))
    assert "\\<b\\>\\|\\`\\$x\\$ \\_\\[red\\]\\&amp;" in document
    rows = [line for line in document.splitlines() if line.startswith("| ") and "\\<b\\>" in line]
    columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    tables = {len(text.columns(report, scope)) + 2 for scope in report.settings.scopes}
    assert columns == tables | {3}  # the last is the engine's table of facts


def test_markdown_states_every_warning(report: Report) -> None:
    document = markdown(replace(report, warnings=("one thing", "another")))
    assert "- one thing\n- another\n" in document
    assert "Warnings" not in markdown(replace(report, warnings=()))


def test_the_page_states_every_warning(report: Report) -> None:
    words = checked(html(replace(report, warnings=("one thing", "1 < 2")))).words
    assert {"one thing", "1 < 2"} <= set(words)


def test_the_terminal_shows_names_and_warnings_without_markup(report: Report) -> None:
    output = printed(replace(renamed(report, "[red]x[/red]"), warnings=("[bold]low",)))
    assert "[red]x[/red]" in output
    assert "warning: [bold]low" in output


def test_all_forms_show_the_same_figures(report: Report, page: str) -> None:
    cells = [row.cells for scope in report.settings.scopes for row in text.rows(report, scope)]
    document, output = markdown(report), printed(report, width=140)
    for row in cells:
        assert f"| {' | '.join(row)} |" in document
        assert re.search(r"\s+".join(re.escape(cell) for cell in row), output)
        assert re.search("".join(rf"<td[^>]*>{re.escape(cell)}</td>" for cell in row), page)


def test_the_table_has_a_ratio_only_with_several_engines(report: Report) -> None:
    only = alone(report)
    assert text.columns(report, "engine")[-1] == "ratio"
    assert "ratio" not in text.columns(only, "engine")
    assert text.rows(report, "engine")[0].cells[-1] == "1"
    for one in (only, report):
        assert {len(row.cells) for row in text.rows(one, "engine")} == {len(text.columns(one, "engine"))}


@pytest.mark.parametrize(
    ("rounds", "verdict"),
    [
        ((1.2,) * 10, "faster"),
        ((1.2,) * 9 + (0.9,), "faster"),
        ((1.2,) * 8 + (0.9, 0.9), "no clear difference"),
        ((1.0,) * 10, "no clear difference"),
        ((0.5,) * 10, "slower"),
    ],
)
def test_a_verdict_needs_nine_rounds_of_ten(rounds: tuple[float, ...], verdict: str) -> None:
    comparison = Comparison(engine="b", baseline="a", scope="engine", ratio=1.2, round_ratios=rounds)
    assert text.verdict(comparison) == verdict


def test_the_headline_claims_no_difference_that_the_rounds_do_not_show(report: Report) -> None:
    unclear = tuple(replace(one, round_ratios=(0.9, 1.1)) for one in report.comparisons)
    assert text.headline(replace(report, comparisons=unclear)).startswith("No clear difference between")


def test_the_headline_of_one_engine_is_its_median(report: Report) -> None:
    only = alone(report)
    stats = only.measurements[-1].headline.stats
    assert f"{text.milliseconds(stats.p50_ms)} ms (frame-to-mask, median of {stats.count})" in text.headline(only)


def test_engines_that_are_timed_differently_are_told_apart(report: Report) -> None:
    first, second = report.of_scope("engine")
    copied = replace(report, measurements=(first, replace(second, engine_covers="engine+copies")))
    said = text.scope_text(copied, "engine")
    assert f"of {first.engine}, the engine alone, no copies; " in said
    assert f"of {second.engine}, the engine with its copies" in said


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_report_is_written_in_the_form_of_its_ending(report: Report, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new folder" / f"out{ending}"
    write_report(report, path)
    begins = {".json": "{", ".html": "<!DOCTYPE html>", ".md": "# edgeseg benchmark"}
    assert path.read_text(encoding="utf-8").lstrip().startswith(begins[ending])
    if ending == ".json":
        assert read_report(path) == report


def test_another_ending_is_refused(report: Report, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in none of \.json \.html \.md"):
        write_report(report, tmp_path / "out.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_wider_than_the_terminal_stands_upright(report: Report) -> None:
    wide, narrow = (io.StringIO() for _ in range(2))
    for file, width in ((wide, 200), (narrow, 50)):
        print_report(report, Console(file=file, width=width))
    (heading, *_) = [line for line in wide.getvalue().splitlines() if "p50" in line]
    assert heading.split()[:3] == ["engine", "p50", "p90"]
    (row, *_) = [line for line in narrow.getvalue().splitlines() if line.startswith("p50")]
    assert len(row.split()) == 1 + len(report.engines)
    assert max(len(line) for line in narrow.getvalue().splitlines() if line.startswith("p")) <= 50
