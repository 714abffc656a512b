"""Own a conditional random field over a net's scores, as layers of its graph. Train nothing, enlarge nothing.

Krähenbühl, Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials (2011). That a pixel
hears the pixels of a window instead of all: Teichmann, Cipolla: Convolutional CRFs for Semantic Segmentation (2018).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeseg.errors import ModelError

__all__ = ["LocalCrf", "Pairwise"]

#: deviations of ImageNet's colours, and of its grey
COLOUR_STD, GREY_STD = (0.229, 0.224, 0.225), 0.226
#: what lies outside the image has this colour, in deviations: too far from any to weigh anything, in half floats too
OUTSIDE = -1000.0


@dataclass(frozen=True, kw_only=True)
class Pairwise:
    """Weights and deviations of the two kernels, as CRFs over whole images are published.

    Attributes:
        appearance: weight of the kernel of position and colour.
        near: its deviation of position, in pixels of the image.
        alike: its deviation of colour, of 0-255.
        smoothness: weight of the kernel of position alone.
        beside: its deviation, in pixels of the image.
    """

    appearance: float
    near: float
    alike: float
    smoothness: float
    beside: float


class LocalCrf(nn.Module):
    """Mean-field inference of a CRF whose pairwise terms reach over a window; Potts compatibility.

    Each iteration adds to a pixel's logits what its neighbours believe, each weighted by both kernels. A kernel is
    divided by its sum over the window, the pixel itself included, as in the authors' programs: so the published
    weights, which are those of a mean, hold for a window too, and a pixel unlike all its neighbours heeds none.
    Neighbours outside the image weigh nothing.

    The scores are ``stride`` times smaller than the image, so deviations of position are divided by it. Deviations of
    colour are not: the image is shrunk by means of ``stride + 1`` pixels around the one that a score is centred on,
    and means range as pixels do. The smoothness kernel is published for 1 to 3 pixels: at a stride of 8 it says
    little, and the stride itself has smoothed as much.

    Args:
        pairwise: the kernels at the image's size.
        stride: how many pixels of the image there are to a score.
        in_channels: of the image; 3 are ImageNet's colours, others ImageNet's grey.
        window: height and width of the neighbourhood, in scores; odd.
        iterations: of the inference; with 0 the logits stay as they are.

    Attributes:
        pairwise: buffer, what ``Pairwise`` holds in its order, at the size of the scores.
        std: buffer (channels, 1, 1), what the image was divided by. Its mean needs none: colours are only compared.

    Raises:
        ModelError: the window has no middle.
    """

    pairwise: Tensor
    std: Tensor
    distances: Tensor

    def __init__(
        self, pairwise: Pairwise, *, stride: int, in_channels: int, window: int = 7, iterations: int = 5
    ) -> None:
        super().__init__()
        if window < 3 or window % 2 == 0:
            raise ModelError(f"the CRF's window is {window}", "it is odd, from 3 on: 7 and 11 are usual")
        self.stride, self.window, self.iterations = stride, window, iterations
        scale = torch.tensor([1, stride, 1, 1, stride])
        std = torch.tensor(COLOUR_STD if in_channels == 3 else (GREY_STD,) * in_channels)
        offsets = torch.arange(window) - window // 2
        self.register_buffer("pairwise", torch.tensor(astuple(pairwise)) / scale)
        self.register_buffer("std", std[:, None, None])
        self.register_buffer("distances", (offsets[:, None] ** 2 + offsets**2).float(), persistent=False)

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        """Refined logits.

        Args:
            logits: float32 (N, C, H, W); a single channel is the score of class 1 against class 0.
            image: float32 (N, channels, H * stride, W * stride), as it entered the net; the last stride may be cut.
        """
        rows = self._weights(image)
        refined = logits
        for _ in range(self.iterations):
            refined = logits + self._heard(rows, _beliefs(refined))
        return refined

    def _weights(self, image: Tensor) -> list[Tensor]:
        """What each neighbour weighs: a tensor (N, window, 1, H, W) for each row of the window."""
        appearance, near, alike, smoothness, beside = self.pairwise
        colours = self._shrunk(image) * (self.std * 255 / alike)
        near_rows, beside_rows = self._position(near), self._position(beside)
        columns = self._columns(colours, outside=OUTSIDE)
        alike_rows = [_likeness(column, colours[:, None]) for column in self._rows(columns)]
        rows = [place * likeness for place, likeness in zip(near_rows, alike_rows, strict=True)]
        sums = 1 + reduce(torch.add, [row.sum(1, keepdim=True) for row in rows])
        inside = 1 + self._heard(list(beside_rows), torch.ones_like(colours[:, :1]))[:, None]
        return [
            one * (appearance / sums) + other * (smoothness / inside)
            for one, other in zip(rows, beside_rows, strict=True)
        ]

    def _shrunk(self, image: Tensor) -> Tensor:
        margin = self.stride // 2
        return functional.avg_pool2d(image, 2 * margin + 1, self.stride, margin, count_include_pad=False)

    def _position(self, deviation: Tensor) -> Tensor:
        """The kernel's factor for every place in the window, (window, window, 1, 1, 1); nothing for the middle."""
        is_other = (self.distances > 0).float()
        return (torch.exp(self.distances / (-2 * deviation**2)) * is_other)[:, :, None, None, None]

    def _heard(self, rows: list[Tensor], beliefs: Tensor) -> Tensor:
        """The weighted sum over the window of every pixel of (N, C, H, W)."""
        columns = self._rows(self._columns(beliefs))
        return reduce(torch.add, [(row * one).sum(1) for row, one in zip(rows, columns, strict=True)])

    def _columns(self, x: Tensor, *, outside: float = 0.0) -> Tensor:
        """(N, C, H, W) -> (N, window, C, H + window - 1, W): the window's columns side by side, all rows of each.

        Of the ways to gather neighbours this one, columns once and of them rows, makes a small graph and a fast one: a
        one-hot depthwise convolution is five times slower in OpenVINO, a slice a neighbour makes three times the nodes.
        """
        batch, channels, _, width = x.shape
        margin = self.window // 2
        padded = functional.pad(x, [margin] * 4, value=outside)
        joined = torch.cat([padded[..., left : left + width] for left in range(self.window)], 1)
        return joined.reshape(batch, self.window, channels, -1, width)

    def _rows(self, columns: Tensor) -> list[Tensor]:
        """(N, window, C, H + window - 1, W) -> one (N, window, C, H, W) for each row of the window."""
        height = columns.shape[3] - self.window + 1
        return [columns[..., top : top + height, :] for top in range(self.window)]


def _likeness(one: Tensor, other: Tensor) -> Tensor:
    return torch.exp((one - other).square().sum(2, keepdim=True) * -0.5)


def _beliefs(logits: Tensor) -> Tensor:
    """Each class' probability; of a single score, class 1's less class 0's, which is what two logits differ by."""
    return logits.softmax(1) if logits.shape[1] > 1 else torch.tanh(logits / 2)
