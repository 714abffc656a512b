"""Own the table of public nets in docs/export.md. Measure nothing."""

from __future__ import annotations

import datetime
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

__all__ = ["Row", "markdown", "write_between_marks"]

BEGIN, END = "<!-- begin: written by make test-zoo -->", "<!-- end: written by make test-zoo -->"
PACKAGES = (
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "timm",
    "transformers",
    "openvino",
    "tensorrt-rtx",
)
FOOTNOTE = (
    "Widest tie: where the masks differ, PyTorch's two best classes are at most this far apart, as a share of its "
    "largest score. Weights come from one seed; the scores of the last convolution are brought to mean 0 and "
    "deviation 1, class by class, so that all classes appear in the masks."
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one net became.

    Attributes:
        macs: None where an operator's are not known.
        cut: the nodes that the runtime does instead of the engine.
        rewritten: the rule of every rewrite.
        agreement: equal pixels, of all pixels of all photographs.
        widest_tie: the largest gap between PyTorch's two best classes where the masks differ, over the largest score.
    """

    net: str
    source: str
    size_hw: tuple[int, int]
    parameters: int
    macs: int | None
    cut: Sequence[str]
    rewritten: Sequence[str]
    rtx_bytes: int
    agreement: float
    widest_tie: float


def markdown(rows: Sequence[Row], *, photographs: int) -> str:
    """The table, with what it was measured with."""
    used = ", ".join(f"{name} {version(name).partition('+')[0]}" for name in PACKAGES)
    return "\n".join(
        [
            _filled(f"{datetime.date.today()}, FP32, {photographs} photographs a net, all pixels counted; {used}."),
            "",
            "| net | from | input | parameters | MACs | done by the runtime | rewritten | TensorRT-RTX plan | "
            "mask as PyTorch's | widest tie |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *map(_line, rows),
            "",
            _filled(FOOTNOTE),
        ]
    )


def write_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks; what a person wrote around them stays."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{path} lacks the marks {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _line(row: Row) -> str:
    height, width = row.size_hw
    rewritten = ", ".join(f"{count} x {rule.replace('_', ' ')}" for rule, count in Counter(row.rewritten).items())
    macs = "?" if row.macs is None else f"{row.macs / 1e9:.1f} G"
    tie = f"{row.widest_tie:.0e}" if row.agreement < 1 else "-"
    return (
        f"| {row.net} | {row.source} | {height}x{width} | {row.parameters / 1e6:.1f} M | {macs} | "
        f"{', '.join(row.cut) or '-'} | {rewritten or '-'} | {row.rtx_bytes / 1e6:.0f} MB | "
        f"{_percent(row.agreement)} | {tie} |"
    )


def _filled(text: str) -> str:
    return textwrap.fill(text, 116, break_on_hyphens=False)


def _percent(share: float) -> str:
    """Rounded down: 100 % means every pixel."""
    return f"{int(share * 1e5) / 1e3:.3f} %"
