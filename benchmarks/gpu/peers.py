"""Own the usual ways on a device: torch's operators, and array code that is CuPy's there and NumPy's in tests.

Each takes a case's inputs as they lie and leaves what the case makes: a tensor, or a mask of uint8.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from torch_engine import is_standin, torch_view

from benchmarks.gpu.cases import MEAN, STD, Case, Sizes
from edgeseg.runtime.cuda import DeviceTensor, Stream

__all__ = ["Peer", "peers_of"]

#: enqueues the i-th set on a stream, keeping the result where ``results`` says
Run = Callable[[int, Stream], None]


class Peer:
    """One way of a case by another library.

    Args:
        case: gives the inputs.
        call: from arrays of the library to an array.
        view: the library's array on a device tensor's memory.
        enqueue: does work on a stream.
        fetch: the library's array as NumPy's.
    """

    def __init__(
        self,
        case: Case,
        call: Callable[..., Any],
        view: Callable[[DeviceTensor], Any],
        enqueue: Callable[[Stream, Callable[[], None]], None],
        fetch: Callable[[Any], Any],
    ) -> None:
        self._inputs = [[view(one) for one in given] for given in case.inputs]
        self._call, self._enqueue, self._fetch = call, enqueue, fetch
        self._last: Any = None

    def run(self, index: int, stream: Stream) -> None:
        """Enqueue one run on a set."""

        def work() -> None:
            self._last = self._call(*self._inputs[index])

        self._enqueue(stream, work)

    def result(self) -> Any:
        """Of the last run, which is done, as NumPy has it."""
        return self._fetch(self._last)


def peers_of(case: Case, sizes: Sizes) -> dict[str, Peer]:
    """torch and CuPy on a case's inputs, where they are installed and have such a way; NumPy for CuPy in tests."""
    found: dict[str, Peer] = {}
    if case.kind not in ("pre", "tail"):
        return found
    if importlib.util.find_spec("torch") is not None:
        call = torch_pre(case, sizes) if case.kind == "pre" else torch_tail(sizes)
        found["torch"] = Peer(case, call, torch_view, on_torch, lambda made: made.cpu().numpy())
    if is_standin():
        found["numpy"] = Peer(case, array_way(np, case, sizes), numpy_view, on_standin, np.asarray)
    elif importlib.util.find_spec("cupy") is not None:
        cupy = importlib.import_module("cupy")
        found["CuPy"] = Peer(case, array_way(cupy, case, sizes), cupy.asarray, on_cupy, cupy.asnumpy)
    return found


def on_torch(stream: Stream, work: Callable[[], None]) -> None:
    """Let torch enqueue on our stream."""
    import torch

    if is_standin():
        on_standin(stream, work)
        return
    with torch.cuda.stream(torch.cuda.ExternalStream(stream.handle)), torch.inference_mode():
        work()


def on_cupy(stream: Stream, work: Callable[[], None]) -> None:
    """Let CuPy enqueue on our stream."""
    cupy = importlib.import_module("cupy")
    with cupy.cuda.ExternalStream(stream.handle):
        work()


def on_standin(stream: Stream, work: Callable[[], None]) -> None:
    """Let the device of the tests do it."""
    importlib.import_module("standin_device").enqueue(stream.handle, work)


def numpy_view(tensor: DeviceTensor) -> Any:
    """NumPy's array on the memory of the device of the tests."""
    return torch_view(tensor).numpy()


def torch_tail(sizes: Sizes) -> Callable[[Any], Any]:
    """``interpolate`` and ``argmax``, as the nets have it in PyTorch."""
    import torch
    from torch.nn import functional

    def call(scores: Any) -> Any:
        large = functional.interpolate(scores, size=sizes.camera_hw, mode="bilinear", align_corners=False)
        return large.argmax(1)[0].to(torch.uint8)

    return call


def torch_pre(case: Case, sizes: Sizes) -> Callable[..., Any]:
    """Colours, ``interpolate``, mean and deviation, each an operator."""
    import torch
    from torch.nn import functional

    pixel_format, dtype = case.about["pixel_format"], getattr(torch, str(case.output[0].dtype))
    device = "cpu" if is_standin() else "cuda"
    mean, std = (torch.tensor(values, device=device)[None, :, None, None] for values in (MEAN, STD))

    def call(*planes: Any) -> Any:
        rgb = torch.stack(colours(torch, pixel_format, planes, lambda one: one.float()))[None]
        small = functional.interpolate(rgb, size=sizes.net_hw, mode="bilinear", align_corners=False)
        return ((small / 255 - mean) / std).to(dtype)

    return call


def array_way(xp: Any, case: Case, sizes: Sizes) -> Callable[..., Any]:
    """The same by rows and columns taken by index, with CuPy's or NumPy's arrays."""
    if case.kind == "tail":
        return lambda scores: enlarged(xp, scores[0].astype(xp.float32), sizes.camera_hw).argmax(0).astype(xp.uint8)
    mean, std = (xp.asarray(values, xp.float32)[:, None, None] for values in (MEAN, STD))

    def call(*planes: Any) -> Any:
        rgb = xp.stack(colours(xp, case.about["pixel_format"], planes, lambda one: one.astype(xp.float32)))
        return ((enlarged(xp, rgb, sizes.net_hw) / 255 - mean) / std).astype(case.output[0].dtype)[None]

    return call


def enlarged(xp: Any, planes: Any, size_hw: tuple[int, int]) -> Any:
    """Bilinear, half-pixel centres, (C, H, W) to (C, *size_hw)."""
    (y, y_next, y_weight), (x, x_next, x_weight) = (
        neighbours(xp, old, new) for old, new in zip(planes.shape[1:], size_hw, strict=True)
    )
    rows = planes[:, y] * (1 - y_weight)[:, None] + planes[:, y_next] * y_weight[:, None]
    return rows[:, :, x] * (1 - x_weight) + rows[:, :, x_next] * x_weight


def neighbours(xp: Any, old: int, new: int) -> tuple[Any, Any, Any]:
    """The two places that a new one lies between, and how near it is to the second."""
    place = xp.maximum((xp.arange(new, dtype=xp.float32) + 0.5) * (old / new) - 0.5, 0)
    first = xp.floor(place).astype(xp.int32)
    return first, xp.minimum(first + 1, old - 1), (place - first).astype(xp.float32)


def colours(xp: Any, pixel_format: str, planes: Any, as_float: Callable[[Any], Any]) -> list[Any]:
    """Red, green and blue planes, 0 to 255; YUV by BT.601, video range, chroma repeated."""
    height, width = planes[0].shape[0], planes[0].shape[1]
    if pixel_format == "BGR":
        pixels = as_float(planes[0].reshape(height, width // 3, 3))
        return [pixels[:, :, 2], pixels[:, :, 1], pixels[:, :, 0]]
    if pixel_format == "YUYV":
        pairs = as_float(planes[0].reshape(height, width // 4, 4))
        luma = pairs[:, :, ::2].reshape(height, width // 2)
        u, v = (repeated(pairs[:, :, i], 1, xp) for i in (1, 3))
    else:
        luma, pairs = as_float(planes[0]), as_float(planes[1].reshape(height // 2, width // 2, 2))
        u, v = (repeated(repeated(pairs[:, :, i], 0, xp), 1, xp) for i in (0, 1))
    luma, u, v = (luma - 16) * (255 / 219), u - 128, v - 128
    red, blue = luma + 1.402 * 255 / 224 * v, luma + 1.772 * 255 / 224 * u
    green = luma - (0.344136 * u + 0.714136 * v) * (255 / 224)
    return [one.clip(0, 255) for one in (red, green, blue)]


def repeated(plane: Any, axis: int, xp: Any) -> Any:
    """Each row or column twice."""
    return plane.repeat_interleave(2, axis) if hasattr(plane, "repeat_interleave") else xp.repeat(plane, 2, axis)
