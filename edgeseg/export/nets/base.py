"""Own what all built-in nets share: the sizes that they take, their end, their arguments' checks. Define no net."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError

__all__ = ["End", "SegmentationNet", "check_arguments", "check_choice", "scaled"]

End = Literal["logits", "softmax", "sigmoid", "argmax"]
MAX_CLASSES = 255  # the masks are uint8


class SegmentationNet(nn.Module):
    """A net from images to scores; a subclass defines ``scores`` and, where it is bound to some, its sizes.

    In training mode ``forward`` gives what ``scores`` gives: logits, as losses take them, or a tuple of them, the
    auxiliary ones behind the net's own. In evaluation mode, and so when exported, the net ends as its authors' does.

    Args:
        end: what evaluation puts behind the logits. ``softmax`` and ``sigmoid`` give float32 (N, C, H, W),
            ``argmax`` int64 class ids (N, H, W).

    Attributes:
        step: heights and widths are multiples of it.
        smallest: the smallest height and width.
    """

    step = 1
    smallest = 1

    def __init__(self, *, end: End = "logits") -> None:
        super().__init__()
        self.end = end

    def scores(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits, float32 (N, C, H, W) at the image's size, of an image float32 (N, channels, H, W)."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Score an image; see the class.

        Raises:
            ModelError: the net does not take images of this size.
        """
        if not torch.compiler.is_exporting():
            self._check_size(image.shape[2], image.shape[3])
        scores = self.scores(image)
        return scores if self.training or isinstance(scores, tuple) else _ended(scores, self.end)

    def _check_size(self, height: int, width: int) -> None:
        sides = {"height": height, "width": width}
        wrong = {name: side for name, side in sides.items() if side < self.smallest or side % self.step}
        if not wrong:
            return
        multiples = f"multiples of {self.step}" if self.step > 1 else "any height and width"
        raise ModelError(
            f"{type(self).__name__} takes {multiples}, from {self._least} on, and not {height}x{width}",
            f"take {' and '.join(f'{name} {self._neighbours(side)}' for name, side in wrong.items())}",
        )

    @property
    def _least(self) -> int:
        return -(-self.smallest // self.step) * self.step

    def _neighbours(self, side: int) -> str:
        """The sides that work just below and above ``side``, or the smallest one."""
        below = side // self.step * self.step
        return f"{below} or {below + self.step}" if below >= self._least else f"{self._least} or more"


def check_arguments(*, num_classes: int, in_channels: int, width: float) -> None:
    """Refuse what no net can be made of.

    Raises:
        ModelError: there is no class or more than 255, no channel, or no width; or text in a number's place.
    """
    if not (_is_whole(num_classes) and 1 <= num_classes <= MAX_CLASSES):
        raise ModelError(f"num_classes is {num_classes!r}", f"a mask has 1 to {MAX_CLASSES} classes")
    if not (_is_whole(in_channels) and in_channels >= 1):
        raise ModelError(f"in_channels is {in_channels!r}", "1 is grey, 3 is colour")
    if not (isinstance(width, (int, float)) and 0 < width < math.inf):
        raise ModelError(f"width is {width!r}", "1 is the published width, 0.25 a quarter of its channels")


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Refuse a value of the argument ``name`` that is none of ``choices``.

    Raises:
        ModelError: it is none.
    """
    if value not in choices:
        raise ModelError(f"{name} is {value!r}", f"it is one of {', '.join(map(repr, choices))}")


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``: a multiple of 8, unless ``width`` is 1, and never below 8."""
    return channels if width == 1 else max(8, round(channels * width / 8) * 8)


def _is_whole(value: object) -> bool:
    """Arguments come from a command line too, where True and 2.5 are as easily written as 2."""
    return isinstance(value, int) and not isinstance(value, bool)


def _ended(scores: Tensor, end: End) -> Tensor:
    if end == "softmax":
        return scores.softmax(1)
    if end == "sigmoid":
        return scores.sigmoid()
    return scores.argmax(1) if end == "argmax" else scores
