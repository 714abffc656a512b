"""Own what an exported net is tried on, at every shape that it takes, and what PyTorch makes of it. Compare nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ModelError
from edgeseg.export.divergence import first_nan
from edgeseg.export.outputs import WRAPPED, run
from edgeseg.export.profiles import Shape, step_above
from edgeseg.imaging.preprocess import Frame, Preprocessor
from edgeseg.packages import require
from edgeseg.spec import InputSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Sample", "nchw", "samples"]

SEED = 0


class Sample(NamedTuple):
    """An input, float32 NCHW, and PyTorch's output for it."""

    name: str
    tensor: NDArray[np.float32]
    expected: NDArray[np.generic]


def samples(single: nn.Module, image: InputSpec, photograph_bgr: Frame) -> list[Sample]:
    """The photograph first, then noise: at the input's size, and at the other shapes of its profile.

    Noise has the mean and spread that pictures have once they are normalised.

    Raises:
        ModelError: the net does not run on one of them, or gives NaN.
    """
    return [_sample(single, name, tensor) for name, tensor in _tensors(image, photograph_bgr)]


def nchw(image: InputSpec, shape: Shape) -> tuple[int, int, int, int]:
    """The image's shape for a batch, a height and a width."""
    batch, height, width = shape
    return batch, image.channels, height, width


def _tensors(image: InputSpec, photograph_bgr: Frame) -> Iterator[tuple[str, NDArray[np.float32]]]:
    profile, rng = image.profile, np.random.default_rng(SEED)
    best = (1, *image.size_hw) if profile is None else profile.optimum
    photograph = Preprocessor(msgspec.structs.replace(image, profile=None)).tensor(photograph_bgr)
    yield "the photograph", np.repeat(photograph, best[0], axis=0)
    yield "noise", rng.standard_normal(nchw(image, best), np.float32)
    others = [] if profile is None else [profile.minimum, step_above(profile), profile.maximum]
    for shape in dict.fromkeys(one for one in others if one != best):
        yield f"noise of {'x'.join(map(str, shape))}", rng.standard_normal(nchw(image, shape), np.float32)


def _sample(single: nn.Module, name: str, tensor: NDArray[np.float32]) -> Sample:
    given = require("torch").from_numpy(tensor)
    expected = run(single, given).numpy()
    if np.issubdtype(expected.dtype, np.floating) and np.isnan(expected).any():
        place = first_nan(single.get_submodule(WRAPPED), lambda: run(single, given))
        raise ModelError(
            f"the net gives NaN on {name}{f', first in {place}' if place else ''}",
            "check the checkpoint, --mean and --std",
        )
    return Sample(name, tensor, expected)
