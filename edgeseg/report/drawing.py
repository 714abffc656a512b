"""Own the style and the form of every plot: inline SVG that follows the page's colours. Plot nothing."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeseg.packages import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INK", "MUTED", "PAGE_COLOURS", "RULE", "WIDTH_IN", "colour_among", "new_figure", "style", "svg_of"]

ENGINE_COLOURS = ("#2f7fd6", "#e0762f", "#2ba37f", "#b061c9", "#c29a1a", "#d6506b")
#: colours that no plot needs, exchanged for the page's own, so that light and dark both read
INK, MUTED, RULE = "#010203", "#040506", "#070809"
PAGE_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"}
WIDTH_IN = 9.0
RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgeseg",
    "text.parse_math": False,  # an engine's name may hold dollar signs
    "axes.formatter.useoffset": False,
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def colour_among(names: Sequence[str], engine: str) -> str:
    """The colour of an engine in every plot and table, ``#rrggbb``; the seventh engine has the first one's."""
    return ENGINE_COLOURS[list(names).index(engine) % len(ENGINE_COLOURS)]


@contextmanager
def style() -> Iterator[None]:
    """matplotlib as the pages want it, for as long as the block lasts.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc must not change a report
        matplotlib.rcParams.update(RC)
        yield


def new_figure(*, height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure, inches; the page scales it to its own width."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def svg_of(figure: Figure, *, name: str) -> str:
    """The bare element: no XML head, no metadata with addresses, no fixed size, ids of its own within the page.

    Args:
        figure: drawn under ``style``.
        name: unique in the page, letters, digits and dashes.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg))
    svg = re.sub(r'\bid="|\bhref="#|url\(#', lambda found: f"{found[0]}{name}-", svg)
    return _page_colours(svg)


def _page_colours(svg: str) -> str:
    for colour, variable in PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
