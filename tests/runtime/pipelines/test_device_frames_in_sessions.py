"""Frames that lie on the device are taken there: no copy, no wait of the host, in the order of whoever writes them."""

from __future__ import annotations

import contextlib
import gc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_lab import ForeignArray, SessionLab, assert_nothing_is_left, engine_on, mask_of

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Stream
from edgeseg.runtime.session import Session, Wanted

QUICKLY = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frame_of(number: int, shape: tuple[int, ...] = (30, 40, 3)) -> Any:
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def put(cuda: CudaContext, stream: Stream, frame: Any) -> ForeignArray:
    """A frame that another library's stream is still copying to the device."""
    staged = cuda.pinned(frame.shape, "uint8")
    staged[:] = frame
    tensor = DeviceTensor.empty(cuda, frame.shape, "uint8")
    stream.copy_in(tensor, staged)
    return ForeignArray(tensor, stream)


@contextlib.contextmanager
def device_of(lab: SessionLab, **options: Any) -> Any:
    """A session, and a stream that is not its own."""
    engine = engine_on(lab)
    with Session(engine, **options) as session, engine.cuda.current(), Stream(engine.cuda) as theirs:
        yield session, engine.cuda, theirs


@QUICKLY
@given(seed=st.integers(0, 2**32 - 1), rotating=st.integers(1, 4), graphs=st.booleans())
def test_frames_are_read_where_they_lie_and_when_they_are_written(
    session_lab: Any, seed: int, rotating: int, graphs: bool
) -> None:
    """As from a decoder with a few buffers: those that come again get a graph each."""
    lab = session_lab(seed)
    with device_of(lab, graphs=graphs) as (session, cuda, theirs):
        buffers = [put(cuda, theirs, frame_of(number)) for number in range(rotating)]
        uploads = session.counters.copies_in
        for turn in range(9):
            number = turn % rotating
            assert np.array_equal(session.segment(buffers[number]), mask_of(frame_of(number)))
        spent = session.counters
    assert spent.bytes_in < frame_of(0).nbytes * 9 and spent.copies_in - uploads <= 3, "tables alone are copied"
    del buffers
    assert_nothing_is_left(lab)


def test_planes_with_a_pitch_are_read_with_it(session_lab: Any) -> None:
    lab, nv12 = session_lab(), frame_of(0, (36, 32))
    with device_of(lab) as (session, cuda, theirs):
        padded = np.zeros((36, 48), np.uint8)
        padded[:, :32] = nv12
        whole = put(cuda, theirs, padded).tensor
        luma = DeviceTensor(ptr=whole.ptr, shape=(24, 32), dtype=whole.dtype, pitches=(48, 1), owner=whole)
        chroma = DeviceTensor(ptr=whole.ptr + 24 * 48, shape=(12, 32), dtype=whole.dtype, pitches=(48, 1), owner=whole)
        theirs.synchronize()
        found = session.segment((luma, chroma), pixel_format="NV12")
    assert np.array_equal(found, mask_of(nv12, pixel_format="NV12"))


def test_a_frame_on_the_device_is_kept_until_its_result(session_lab: Any) -> None:
    lab = session_lab()
    with device_of(lab) as (session, cuda, theirs):
        frame = put(cuda, theirs, frame_of(0))
        kept = weakref.ref(frame)
        session.submit(frame)
        del frame
        gc.collect()
        assert kept() is not None
        session.result()
        gc.collect()
        assert kept() is None


@pytest.mark.parametrize("on_device", [False, True])
def test_a_mask_may_go_to_memory_of_the_device(session_lab: Any, on_device: bool) -> None:
    lab = session_lab()
    with device_of(lab, wanted=Wanted(on_device=on_device)) as (session, cuda, theirs):
        out = put(cuda, theirs, np.zeros((30, 40), np.uint8))
        for number in range(3):
            assert session.segment(frame_of(number), out=out) is out
            assert np.array_equal(lab.view(out.tensor.ptr, np.uint8, 1200).reshape(30, 40), mask_of(frame_of(number)))
        with pytest.raises(ShapeError, match=r"expected uint8 \(30, 40\)"):
            session.segment(frame_of(0), out=put(cuda, theirs, np.zeros((4, 4), np.uint8)))


def test_wrong_memory_is_refused_and_the_session_goes_on(session_lab: Any) -> None:
    lab, host = session_lab(), frame_of(0)
    with device_of(lab) as (session, cuda, theirs):
        foreign = put(cuda, theirs, host)

        class OnTheHost:
            __cuda_array_interface__ = foreign.__cuda_array_interface__ | {"data": (host.ctypes.data, False)}

        with pytest.raises(EngineError, match="not in device memory, expected device 0"):
            session.submit(OnTheHost())
        with pytest.raises(ShapeError, match="some planes of the picture are on the device"):
            session.submit((foreign, host), pixel_format="NV12")
        with pytest.raises(ShapeError, match="frame has shape"):
            session.submit(foreign, pixel_format="GRAY8")
        assert np.array_equal(session.segment(foreign), mask_of(host))
