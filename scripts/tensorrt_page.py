"""Own the table of options in docs/tensorrt.md: which release takes which. Write nothing else of the page.

    python scripts/tensorrt_page.py

The releases answer for themselves: our own question for an option is asked of the real bindings of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from trt_releases import RELEASES, ROOT, Release, run_inside

from edgeseg.files import write_atomically

__all__ = ["PAGE_PATH", "with_table"]

PAGE_PATH = ROOT / "docs" / "tensorrt.md"
BEGIN, END = "<!-- begin: written by make tensorrt-page -->", "<!-- end: written by make tensorrt-page -->"
#: how 'lacking' begins where a release has not what an option needs
MISSING = "it has no "
Answers = Mapping[str, Mapping[str, str]]


def main() -> None:
    """Ask every release, and write the table into the page."""
    write_atomically(PAGE_PATH, with_table(PAGE_PATH.read_text()).encode())


def with_table(page: str) -> str:
    """The page with the table as the releases answer now.

    Raises:
        UnavailableError: the bindings of a release cannot be had here.
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: {BEGIN} ... {END}")
    table = "\n".join(table_of({_heading(release): answers(release) for release in RELEASES if release.builds}))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def answers(release: Release) -> dict[str, str]:
    """Every option, and why a release does not take it; empty where it does."""
    script = Path(__file__).with_name("trt_offers.py")
    return dict(json.loads(run_inside(release, script, [release.module, release.name])))


def _heading(release: Release) -> str:
    return release.title if release.requirement else f"{release.title} {'.'.join(release.version.split('.')[:3])}"


def table_of(found: Answers) -> Iterator[str]:
    """Rows of Markdown: an option with its values, a column a release; below it why some are refused."""
    reasons = list(dict.fromkeys(reason for column in found.values() for reason in column.values()))
    refusals = [reason for reason in reasons if reason and not reason.startswith(MISSING)]
    yield f"| option | {' | '.join(found)} |"
    yield "|---" * (len(found) + 1) + "|"
    yield from _rows(found, refusals)
    yield ""
    yield from (f"{number}. {reason}" for number, reason in enumerate(refusals, start=1))


def _rows(found: Answers, refusals: Sequence[str]) -> Iterator[str]:
    options = list(next(iter(found.values())))
    cells = {option: [_cell(column[option], refusals) for column in found.values()] for option in options}
    for (name, row), group in groupby(options, key=lambda option: (_split(option)[0], cells[option])):
        values = [f"`{value}`" for value in (_split(option)[1] for option in group) if value]
        names = ", ".join(f"`{one}`" for one in name.split(", "))
        yield f"| {names}{': ' * bool(values)}{', '.join(values)} | {' | '.join(row)} |"


def _cell(reason: str, refusals: Sequence[str]) -> str:
    if not reason:
        return "yes"
    return "no" if reason.startswith(MISSING) else f"no ({refusals.index(reason) + 1})"


def _split(option: str) -> tuple[str, str]:
    """An option and its value, where it has one."""
    name, _, value = option.rpartition(" ")
    return (option, "") if not name or value.startswith("--") else (name, value)


if __name__ == "__main__":
    main()
