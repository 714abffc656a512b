"""Own what the smoothing kernel must do, wherever it runs: its mean is the CPU's, for every type and layout."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from kernel_launchers import Launcher

from edgeseg.engine_spec import TensorLayout
from edgeseg.imaging.smoothing import ScoreSmoother, Smoothing
from edgeseg.runtime.kernels.smoothing import SmoothLaunches
from edgeseg.runtime.layouts import stored_shape
from edgeseg.spec import HeadSpec, InputSpec

__all__ = ["SMOOTHING", "SmoothRules", "image_of"]

#: colours of up to 200 levels are summed in another order, to 1e-4 of a level; that moves a weight by 5e-6, motion
#: being 20 levels, and scores by as much of the 10 that lie between them
ROUNDING = 5e-5
SMOOTHING = Smoothing(strength=0.8, motion=20.0)


def image_of(size_hw: tuple[int, int], **options: Any) -> InputSpec:
    return InputSpec(name="image", size_hw=size_hw, mean=(0.5,) * 3, std=(0.25,) * 3, **options)


def head_of(**options: Any) -> HeadSpec:
    return HeadSpec(**{"output": "y", "channels": 5, "size_hw": (7, 37), "decision": "argmax"} | options)


def tensor_of(image: InputSpec, number: int) -> Any:
    """Noise whose left half moves from frame to frame, and whose right half hardly does."""
    rng = np.random.default_rng(1)
    still = rng.uniform(0, 200, image.shape)
    moved = np.random.default_rng(number).uniform(-40, 40, image.shape)
    moved[..., image.size_hw[1] // 2 :] *= 0.02
    levels = still + moved
    return levels.astype(np.uint8) if image.dtype == "uint8" else (levels / (0.25 * 255)).astype(np.float32)


def scores_of(head: HeadSpec, number: int) -> Any:
    values = np.random.default_rng(number).normal(0, 1.5, head.shape)
    return (values / head.scale).clip(-128, 127).astype(head.scores_dtype)


def stored(array: Any, layout: TensorLayout) -> Any:
    if layout == "linear":
        return np.ascontiguousarray(array)
    whole = np.full(stored_shape(array.shape, layout), 99, array.dtype)  # padding that must not be read
    whole[..., : array.shape[1]] = array.transpose(0, 2, 3, 1)
    return whole


class SmoothRules:
    """Rules of ``edgeseg_smooth``; a subclass's ``launcher`` fixture says where it runs."""

    @pytest.mark.parametrize("backwards", [False, True])
    @pytest.mark.parametrize(
        ("image", "head", "tensor_layout", "layout"),
        [
            (image_of((56, 296)), head_of(), "linear", "linear"),
            (image_of((60, 300)), head_of(), "linear", "linear"),  # cells share the pixels at their edges
            (image_of((7, 37)), head_of(), "hwc", "linear"),
            (image_of((28, 74)), head_of(scores_dtype="float16"), "linear", "hwc8"),
            (image_of((28, 74)), head_of(scores_dtype="int8", scale=0.05), "hwc", "hwc16"),
            (image_of((28, 74)), head_of(channels=1, decision="threshold"), "linear", "linear"),
        ],
        ids=["whole", "shared", "alone", "half", "bytes", "one"],
    )
    def test_the_mean_is_the_cpus(
        self,
        launcher: Launcher,
        image: InputSpec,
        head: HeadSpec,
        tensor_layout: TensorLayout,
        layout: TensorLayout,
        backwards: bool,
    ) -> None:
        smoother = ScoreSmoother(image, head, SMOOTHING)
        launches = SmoothLaunches(
            image=image, head=head, smoothing=SMOOTHING, tensor_layout=tensor_layout, layout=layout
        )
        cells = launcher.room((launches.cells_bytes,), np.uint8)
        mean = launcher.room((launches.mean_bytes,), np.uint8)
        for number in range(4):
            tensor, scores = tensor_of(image, number), scores_of(head, number)
            expected = smoother.smoothed(tensor, scores)
            made = launches.made(
                tensor=launcher.put(stored(tensor, tensor_layout)),
                scores=launcher.put(stored(scores, layout)),
                cells=cells.ptr,
                mean=mean.ptr,
                is_first=number == 0,
            )
            launcher.launch(made.kernel, made.grid, made.block, made.params, backwards=backwards)
            np.testing.assert_allclose(mean.read().view(np.float32).reshape(head.shape), expected, atol=ROUNDING)
        assert np.abs(expected - scores.astype(np.float32) * head.scale).max() > 0.5, "the past counted somewhere"

    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    def test_bytes_and_channels_last_are_read_as_they_lie(self, launcher: Launcher, layout: Any) -> None:
        image = InputSpec(
            name="image", size_hw=(28, 74), mean=(0.0,) * 3, std=(1 / 255,) * 3, dtype="uint8", layout=layout
        )
        head = msgspec.structs.replace(head_of(), layout=layout)
        smoother = ScoreSmoother(image, head, SMOOTHING)
        launches = SmoothLaunches(image=image, head=head, smoothing=SMOOTHING)
        cells, mean = (launcher.room((size,), np.uint8) for size in (launches.cells_bytes, launches.mean_bytes))
        for number in range(3):
            tensor, scores = tensor_of(image, number), scores_of(head, number)
            expected = smoother.smoothed(tensor, scores)
            at = {"tensor": launcher.put(tensor), "scores": launcher.put(scores), "cells": cells.ptr, "mean": mean.ptr}
            made = launches.made(**at, is_first=number == 0)
            launcher.launch(made.kernel, made.grid, made.block, made.params)
            planes = expected if layout == "NCHW" else expected.transpose(0, 3, 1, 2)
            np.testing.assert_allclose(mean.read().view(np.float32).reshape(planes.shape), planes, atol=ROUNDING)
