"""Own taking other libraries' device memory without a copy, checked first. Free nothing of it, convert nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import dlpack
from edgeseg.runtime.cuda.buffers import DeviceTensor, packed_strides
from edgeseg.runtime.cuda.calls import DriverCalls, driver_calls
from edgeseg.runtime.cuda.handles import ContextHolder

__all__ = ["adopt", "adopt_pointer"]

LEGACY_STREAM = 1  # CU_STREAM_LEGACY, the default one


def adopt(
    holder: ContextHolder,
    source: Any,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    is_contiguous: bool = True,
    is_written: bool = False,
    reader_handle: int | None = None,
    calls: DriverCalls | None = None,
) -> DeviceTensor:
    """A tensor on the memory of a torch, CuPy or Numba array, which it keeps. Needs the context current.

    The host waits for nothing: where the tensor has a ``stream_handle``, let its readers ``Stream.wait_for_foreign``.

    Args:
        holder: the context that will use it.
        source: a DLPack tensor, or has ``__cuda_array_interface__``, version 2 or 3. DLPack goes first: torch does not
            tell its stream by the interface.
        reader_handle: of the stream that will use it. A DLPack tensor lets it wait by itself; without it, it lets the
            legacy default stream wait, which is then the tensor's ``stream_handle``.
        shape: that it must have; any without it.
        dtype: that it must have; any without it.
        is_contiguous: refuse what is not C-contiguous.
        is_written: refuse what is read-only.
        calls: the driver's functions.
    Raises:
        ShapeError: neither, or another shape, dtype or layout.
        EngineError: memory of the host or of another device.
    """
    tensor, is_read_only = _described(holder, source, reader_handle)
    _check_wanted(tensor, shape, None if dtype is None else np.dtype(dtype), is_contiguous)
    if is_read_only and is_written:
        raise ShapeError("the device array is read-only", "give one that can be written to")
    if not isinstance(source, DeviceTensor):  # ours may lie in mapped memory, which the driver tells to be the host's
        _check_device(holder, tensor.ptr, calls or driver_calls())
    return tensor


def adopt_pointer(
    holder: ContextHolder,
    ptr: int,
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    pitches: tuple[int, ...] | None = None,
    owner: object = None,
    calls: DriverCalls | None = None,
) -> DeviceTensor:
    """A tensor at a raw device address, whose work is done. Needs the context current.

    Args:
        holder: the context that will use it.
        ptr: address of the first element, on that context's device.
        shape: each >= 1; that the memory is as large cannot be checked.
        dtype: of an element.
        pitches: bytes between indices; C-contiguous without them.
        owner: kept as long as the tensor, where something owns the memory.
        calls: the driver's functions.
    Raises:
        ShapeError: a side below 1, or as many pitches as there are not sides.
        EngineError: memory of the host or of another device.
    """
    kind = np.dtype(dtype)
    steps = packed_strides(shape, kind) if pitches is None else pitches
    if min(shape, default=1) < 1 or len(steps) != len(shape):
        raise ShapeError(
            f"device memory of shape {shape} with pitches {steps}", "give a pitch for each side, from 1 on"
        )
    _check_device(holder, ptr, calls or driver_calls())
    return DeviceTensor(ptr=ptr, shape=shape, dtype=kind, pitches=steps, owner=owner, ordinal=holder.ordinal)


def _described(holder: ContextHolder, source: Any, reader_handle: int | None) -> tuple[DeviceTensor, bool]:
    """The tensor as the source tells it, and whether it is read-only."""
    if isinstance(source, DeviceTensor):
        source.check_open()
        _check_ordinal(holder, source.ordinal, "the tensor")
        return replace(source, owner=source), False
    place = dlpack.place_of(source)
    if place is not None and place[0] in (dlpack.CUDA, dlpack.CUDA_MANAGED):
        return _taken(holder, source, place, reader_handle)
    told = getattr(source, "__cuda_array_interface__", None)
    if not isinstance(told, dict):
        raise ShapeError(
            f"{type(source).__name__} has no __cuda_array_interface__, nor is it a DLPack tensor on a CUDA device",
            "give a CUDA array of torch or CuPy, or a host one",
        )
    return replace(_told(told, source), ordinal=holder.ordinal), bool(told["data"][1])


def _taken(
    holder: ContextHolder, source: Any, place: tuple[int, int], reader_handle: int | None
) -> tuple[DeviceTensor, bool]:
    if place[0] == dlpack.CUDA:  # managed memory is every device's
        _check_ordinal(holder, place[1], "the DLPack tensor")
    taken = dlpack.take(source, stream=LEGACY_STREAM if reader_handle is None else reader_handle)
    return DeviceTensor(
        ptr=taken.ptr, shape=taken.shape, dtype=taken.dtype, pitches=taken.pitches, owner=taken.lease,
        stream_handle=LEGACY_STREAM if reader_handle is None else None, ordinal=holder.ordinal,
    ), taken.is_read_only  # fmt: skip


def _check_ordinal(holder: ContextHolder, found: int, what: str) -> None:
    if found != holder.ordinal:
        raise EngineError(f"{what} is on device {found}, expected device {holder.ordinal}", "move it there first")


def _told(told: dict[str, Any], source: object) -> DeviceTensor:
    if told.get("mask") is not None or told.get("stream") == 0 or int(told.get("version", 0)) < 2:
        raise ShapeError(
            f"a CUDA array of version {told.get('version')}, stream {told.get('stream')}, "
            f"{'a' if told.get('mask') is not None else 'no'} mask",
            "give version 2 or 3, a stream other than 0, no mask",
        )
    shape, kind = tuple(map(int, told["shape"])), np.dtype(told["typestr"])
    if not kind.isnative or min(shape, default=1) < 1:
        raise ShapeError(
            f"a CUDA array of shape {shape} and type {told['typestr']}", "give sides from 1 on, native order"
        )
    pitches = packed_strides(shape, kind) if told.get("strides") is None else tuple(map(int, told["strides"]))
    handle = told.get("stream")
    return DeviceTensor(
        ptr=int(told["data"][0]), shape=shape, dtype=kind, pitches=pitches, owner=source,
        stream_handle=None if handle is None else int(handle),
    )  # fmt: skip


def _check_wanted(
    tensor: DeviceTensor, shape: tuple[int, ...] | None, dtype: np.dtype[Any] | None, is_contiguous: bool
) -> None:
    if shape not in (None, tensor.shape) or dtype not in (None, tensor.dtype):
        raise ShapeError(
            f"the device array is {tensor.dtype} {tensor.shape}, expected {dtype or 'any type'} {shape or 'any shape'}",
            "convert it first",
        )
    if is_contiguous and not tensor.is_contiguous:
        raise ShapeError(f"the device array has pitches {tensor.pitches}", "make it C-contiguous")


def _check_device(holder: ContextHolder, ptr: int, calls: DriverCalls) -> None:
    found = calls.device_of(ptr)
    if found != holder.ordinal:
        where = "not in device memory" if found is None else f"on device {found}"
        raise EngineError(f"the array at {ptr:#x} is {where}, expected device {holder.ordinal}", "move it there first")
