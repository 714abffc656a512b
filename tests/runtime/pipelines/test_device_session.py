"""A session on a device gives the CPU's masks to the bit, in order, under every schedule, and counts what it did."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_lab import SIZE_HW, LabEngine, assert_nothing_is_left, engine_on, mask_of, net, spec_of

from edgeseg.errors import EngineError, ShapeError
from edgeseg.imaging.formats import PIXEL_FORMATS
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.runtime.session import Session, Wanted
from edgeseg.spec import ProfileSpec

SEEDS = st.integers(0, 2**32 - 1)
#: the lab's fixture makes a new device for each example
QUICKLY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZES_WH = ((40, 30), (64, 48), (18, 12))


def picture(pixel_format: str, size_wh: tuple[int, int], number: int = 0) -> Any:
    """Random bytes in the form of ``formats.planes_of``."""
    width, height = size_wh
    rng = np.random.default_rng(number)
    channels = {"BGR": 3, "RGB": 3, "BGRA": 4, "RGBA": 4, "YUYV": 2, "UYVY": 2}.get(pixel_format)
    rows = height * 3 // 2 if pixel_format in ("NV12", "I420") else height
    return rng.integers(0, 256, (rows, width) if channels is None else (rows, width, channels), np.uint8)


def frames_of(count: int, size_wh: tuple[int, int] = SIZES_WH[0]) -> list[Any]:
    return [picture("BGR", size_wh, number) for number in range(count)]


def masks_through(session: Session, frames: list[Any], **form: Any) -> list[Any]:
    """As a loop does: as many in flight as go."""
    masks = []
    for frame in frames:
        if session.pending == session.depth:
            masks.append(session.result())
        session.submit(frame, **form)
    return masks + [session.result() for _ in range(session.pending)]


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_every_format_gives_the_mask_of_the_cpu(session_lab: Any, pixel_format: Any, resize: str) -> None:
    spec, frame = spec_of(resize=resize), picture(pixel_format, SIZES_WH[0])
    with Session(engine_on(session_lab(), spec=spec)) as session:
        for form in ({}, {"colour_matrix": "BT.709", "is_full_range": True}):
            found = session.segment(frame, pixel_format=pixel_format, **form)
            assert np.array_equal(found, mask_of(frame, spec=spec, pixel_format=pixel_format, **form))


@QUICKLY
@given(seed=SEEDS, depth=st.integers(1, 4), numbers=st.lists(st.integers(0, 8), max_size=9), graphs=st.booleans())
def test_masks_come_in_order_under_every_schedule(
    session_lab: Any, seed: int, depth: int, numbers: list[int], graphs: bool
) -> None:
    lab = session_lab(seed)
    frames = [picture("BGR", SIZES_WH[number % 3], number) for number in numbers]
    with Session(engine_on(lab, slots=depth), graphs=graphs) as session:
        for found, frame in zip(masks_through(session, frames), frames, strict=True):
            assert np.array_equal(found, mask_of(frame))
    assert_nothing_is_left(lab)


@QUICKLY
@given(seed=SEEDS)
def test_several_sessions_in_threads_share_a_device(session_lab: Any, seed: int) -> None:
    lab = session_lab(seed)
    first = engine_on(lab)
    cuda = first.cuda

    def run(number: int) -> bool:
        frames = frames_of(5, SIZES_WH[number])
        with Session(first if number == 0 else LabEngine(cuda)) as session:
            masks = masks_through(session, frames)
            return session.counters.copies_out == 5 and all(map(np.array_equal, masks, map(mask_of, frames)))

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(run, range(3)))
    assert_nothing_is_left(lab)


def test_a_frame_costs_one_copy_in_one_copy_out_and_one_wait(session_lab: Any) -> None:
    frame = frames_of(1)[0]
    with Session(engine_on(session_lab()), graphs=False) as session:
        for _ in range(session.depth):
            session.segment(frame)
        session.reset_counters()
        before = session.counters
        for _ in range(10):
            session.segment(frame)
        spent = session.counters - before
    assert (spent.copies_in, spent.copies_out, spent.synchronisations) == (10, 10, 10)
    assert (spent.bytes_in, spent.bytes_out) == (10 * frame.nbytes, 10 * frame.nbytes // 3)
    assert spent.launches == 10 * 4  # pre-processing, the net, corners, mask
    assert spent.live.total == 0, "a frame allocates nothing once its form is known"


def test_masks_come_in_memory_that_is_given_out_again(session_lab: Any) -> None:
    frame = frames_of(1)[0]
    with Session(engine_on(session_lab())) as session:
        assert len({session.segment(frame).ctypes.data for _ in range(8)}) == 1


def test_where_memory_is_the_hosts_nothing_is_copied(session_lab: Any) -> None:
    lab, frame = session_lab(), frames_of(1)[0]
    lab.is_integrated = True
    with Session(engine_on(lab)) as session:
        session.segment(frame)
        session.reset_counters()
        assert np.array_equal(session.segment(frame), mask_of(frame))
        assert (session.counters.copies_in, session.counters.copies_out) == (0, 0)
    assert_nothing_is_left(lab)


def test_stages_and_totals_are_in_the_log(session_lab: Any) -> None:
    with Session(engine_on(session_lab())) as session:
        masks_through(session, frames_of(5))
        counts = {name: one.count for name, one in session.latency.stats().items()}
    assert counts == dict.fromkeys(("submit", "copy-in", "pre", "engine", "post", "copy-out", "total"), 5)


def test_profilers_see_the_stages_of_a_frame_by_their_names(session_lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[str] = []

    @contextlib.contextmanager
    def noted(name: str) -> Iterator[None]:
        entered.append(name)
        yield

    for module in ("device", "slot_work"):
        monkeypatch.setattr(f"edgeseg.runtime.pipelines.{module}.stage", noted)
    with Session(engine_on(session_lab())) as session:
        session.segment(frames_of(1)[0])
    assert entered == ["submit", "copy-in", "pre", "engine", "post", "copy-out", "result"]


def test_all_that_is_wanted_is_what_the_cpu_makes(session_lab: Any) -> None:
    spec, frame = spec_of(), frames_of(1, (48, 32))[0]
    overlay = Overlay(spec.model.labels, alpha=0.25, boundary_rgb=(9, 8, 7), threads=1)
    wanted = Wanted(confidence=True, areas=True, overlay=overlay)
    with Session(engine_on(session_lab(), spec=spec), wanted=wanted) as session:
        for _ in range(3):  # areas are counted from 0 each time
            session.submit(frame)
            found = session.result_all()
    mask = mask_of(frame)
    assert np.array_equal(found.mask, mask)
    assert found.areas is not None and np.array_equal(found.areas, np.bincount(mask.ravel(), minlength=256))
    assert found.picture is not None and np.array_equal(found.picture, overlay.blend(frame, mask))
    confidence = np.empty(mask.shape, np.uint8)
    scores = net(Preprocessor(spec.model.input, threads=1).tensor(frame))
    MaskMaker(spec.model.head, threads=1).mask(scores, size_hw=mask.shape, confidence=confidence)
    assert found.confidence is not None
    assert np.abs(found.confidence.astype(int) - confidence).max() <= 1  # as edgeseg_confidence promises


def test_an_overlay_needs_pixels_of_three_bytes(session_lab: Any) -> None:
    wanted = Wanted(overlay=Overlay(spec_of().model.labels, threads=1))
    with Session(engine_on(session_lab()), wanted=wanted) as session:
        with pytest.raises(ShapeError, match="overlay is to be drawn into a NV12 frame"):
            session.segment(picture("NV12", SIZES_WH[0]), pixel_format="NV12")
        assert session.segment(frames_of(1)[0]).shape == (30, 40)


# shapes


@QUICKLY
@given(seed=SEEDS, turns=st.lists(st.sampled_from([SIZE_HW, (8, 8), (24, 32)]), min_size=1, max_size=8))
def test_the_net_runs_at_whatever_size_a_profile_allows(session_lab: Any, seed: int, turns: list[Any]) -> None:
    lab, spec = session_lab(seed), spec_of(has_profile=True)
    frames, expected, owed = frames_of(len(turns)), [], deque[Any]()
    with Session(engine_on(lab, spec=spec)) as session:
        for frame, size_hw in zip(frames, turns, strict=True):
            if session.pending == session.depth:
                owed.append(session.result())
            session.resize_input(size_hw)
            session.submit(frame)
            expected.append(mask_of(frame, size_hw, spec=spec))
        owed.extend(session.result() for _ in range(session.pending))
    assert all(map(np.array_equal, owed, expected))
    assert_nothing_is_left(lab)


def test_a_size_outside_every_profile_is_refused_and_the_old_one_stays(session_lab: Any) -> None:
    frame = frames_of(1)[0]
    with Session(engine_on(session_lab(), spec=spec_of(has_profile=True))) as session:
        with pytest.raises(EngineError, match=r"no profile of the engine takes an input of \(40, 40\)"):
            session.resize_input((40, 40))
        assert session.input_hw == SIZE_HW
        assert np.array_equal(session.segment(frame), mask_of(frame))


@QUICKLY
@given(seed=SEEDS, batches=st.lists(st.integers(1, 3), min_size=1, max_size=6), graphs=st.booleans())
def test_cameras_of_different_sizes_go_through_in_one_batch(
    session_lab: Any, seed: int, batches: list[int], graphs: bool
) -> None:
    lab, spec = session_lab(seed), spec_of(has_profile=True)
    frames = [picture("YUYV", size_wh, 5) for size_wh in SIZES_WH]
    with Session(engine_on(lab, spec=spec), graphs=graphs) as session:
        for count in batches:
            session.submit_batch(frames[:count], pixel_format="YUYV")
            found = [one.mask for one in session.result_batch()]
            assert all(map(np.array_equal, found, [mask_of(one, pixel_format="YUYV") for one in frames[:count]]))
            assert len(found) == count
    assert_nothing_is_left(lab)


def test_the_batch_limit_is_what_profiles_take_at_the_present_size(session_lab: Any) -> None:
    lab = session_lab()
    with Session(engine_on(lab)) as session:
        assert session.batch_limit == 1
    pair = ProfileSpec(minimum=(1, *SIZE_HW), optimum=(1, *SIZE_HW), maximum=(2, *SIZE_HW))
    four = ProfileSpec(minimum=(4, 8, 8), optimum=(4, *SIZE_HW), maximum=(9, *SIZE_HW))
    small = ProfileSpec(minimum=(3, 8, 8), optimum=(3, 8, 8), maximum=(3, 8, 8))
    with Session(engine_on(lab, spec=msgspec.structs.replace(spec_of(), profiles=(pair, four, small)))) as session:
        assert session.batch_limit == 2, "no profile takes 3 at that size"
        session.resize_input((8, 8))
        assert session.batch_limit == 1, "2 are not taken there"


def test_a_batch_that_no_profile_takes_is_refused_and_the_session_goes_on(session_lab: Any) -> None:
    frame = frames_of(1)[0]
    with Session(engine_on(session_lab(), spec=spec_of(has_profile=True))) as session:
        with pytest.raises(EngineError, match="no profile takes 4"):
            session.submit_batch([frame] * 4)
        assert session.pending == 0
        session.submit_batch([frame] * 2)
        with pytest.raises(EngineError, match="a batch of 2 frames comes next"):
            session.result()
        assert [one.mask.shape for one in session.result_batch()] == [(30, 40)] * 2


# borrowed masks


def test_a_borrowed_mask_is_where_the_device_wrote_it(session_lab: Any) -> None:
    frame = frames_of(1)[0]
    with Session(engine_on(session_lab())) as session:
        session.submit(frame)
        before = session.counters.live
        mask = session.borrow()[0].mask
        assert np.array_equal(mask.host, mask_of(frame))
        assert mask.device.shape == (30, 40) and mask.device.dtype == np.uint8
        assert (session.counters.live - before).total == 0


def test_a_borrowed_mask_ends_when_its_slot_is_taken_again(session_lab: Any) -> None:
    frames = frames_of(3)
    with Session(engine_on(session_lab(), slots=2)) as session:
        session.submit(frames[0])
        first = session.borrow()[0].mask
        session.submit(frames[1])
        assert np.array_equal(first.host, mask_of(frames[0]))
        session.submit(frames[2])
        for read in (lambda: first.host, lambda: first.device):
            with pytest.raises(EngineError, match="borrowed result of frame 0 is gone: frame 2 has overwritten it"):
                read()


def test_debug_finds_an_array_that_outlives_its_slot(session_lab: Any) -> None:
    frames = frames_of(2)
    with Session(engine_on(session_lab(), slots=1), is_debug=True) as session:
        session.submit(frames[0])
        held = session.borrow()[0].mask.host[4:]
        with pytest.raises(EngineError, match="a borrowed array of frame 0 is alive"):
            session.submit(frames[1])
        del held
        assert np.array_equal(session.segment(frames[1]), mask_of(frames[1]))


def test_results_may_stay_on_the_device(session_lab: Any) -> None:
    lab, frame = session_lab(), frames_of(1)[0]
    with Session(engine_on(lab), wanted=Wanted(on_device=True)) as session:
        session.submit(frame)
        mask = session.borrow()[0].mask
        found = lab.view(int(mask.device), np.uint8, 30 * 40).reshape(30, 40)
        assert np.array_equal(found, mask_of(frame)) and session.counters.copies_out == 0
        with pytest.raises(EngineError, match=r"stays on the device: read \.device"):
            assert mask.host is not None
        with pytest.raises(EngineError, match="masks stay on the device here"):
            session.segment(frame)


def test_all_that_is_wanted_can_be_borrowed(session_lab: Any) -> None:
    spec, frame = spec_of(), frames_of(1)[0]
    wanted = Wanted(confidence=True, areas=True, overlay=Overlay(spec.model.labels, threads=1))
    with Session(engine_on(session_lab(), spec=spec), wanted=wanted) as session:
        session.submit(frame)
        copied = session.result_all()
        session.submit(frame)
        lent = session.borrow()[0]
        for name in ("mask", "confidence", "areas", "picture"):
            assert np.array_equal(getattr(lent, name).host, getattr(copied, name)), name
            assert getattr(lent, name).device.shape == getattr(copied, name).shape
    for read in (lambda: lent.mask.host, lambda: lent.mask.device):
        with pytest.raises(EngineError, match="of frame 1 is gone: the session is closed"):
            read()


def test_threads_of_the_cpu_are_refused_where_pixels_move_on_the_device(session_lab: Any) -> None:
    lab = session_lab()
    with engine_on(lab) as engine, pytest.raises(EngineError, match="2 CPU threads for pixels that move on a GPU"):
        Session(engine, threads=2)
    assert_nothing_is_left(lab)


# wrong use


def test_what_is_no_frame_leaves_the_session_as_it_was(session_lab: Any) -> None:
    frame, lab = frames_of(1)[0], session_lab()
    wrong: list[tuple[Any, str, str]] = [
        (frame[..., 0], "BGR", "frame has shape"),
        (frame.astype(np.float32), "BGR", "type float32"),
        ((frame[..., 0], frame[:3, :3, 0]), "NV12", "plane of the NV12 picture is"),
        (picture("YUYV", (41, 30)), "YUYV", "even width"),
        (b"bytes", "BGR", "frame has shape"),
    ]
    with Session(engine_on(lab)) as session:
        for picture_, pixel_format, words in wrong:
            with pytest.raises(ShapeError, match=words):
                session.submit(picture_, pixel_format=pixel_format)  # type: ignore[arg-type]
        assert session.pending == 0 and np.array_equal(session.segment(frame), mask_of(frame))
        for out in (np.empty((3, 3), np.uint8), np.empty((30, 40), np.int32)):
            with pytest.raises(ShapeError, match="give a writable uint8"):
                session.segment(frame, out=out)
        out = np.empty((30, 40), np.uint8)
        assert session.segment(frame, out=out) is out and np.array_equal(out, mask_of(frame))
    assert_nothing_is_left(lab)


def test_too_little_memory_says_what_was_asked_and_what_to_lower(session_lab: Any) -> None:
    lab = session_lab(total=100_000)
    with Session(engine_on(lab)) as session:
        with pytest.raises(EngineError, match=r"no room for device memory of 1440000 bytes.*free.*depth"):
            session.submit(picture("BGR", (800, 600)))
        assert np.array_equal(session.segment(frames_of(1)[0]), mask_of(frames_of(1)[0]))
    assert_nothing_is_left(lab)


def test_frames_in_flight_are_dropped_by_close_which_may_come_twice(session_lab: Any) -> None:
    lab = session_lab()
    session = Session(engine_on(lab))
    for frame in frames_of(2):
        session.submit(frame)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="the session is closed"):
        session.submit(frames_of(1)[0])
    assert_nothing_is_left(lab)


def test_an_array_of_a_borrowed_mask_outlives_the_session(session_lab: Any) -> None:
    frame, lab = frames_of(1)[0], session_lab()
    with Session(engine_on(lab)) as session:
        session.submit(frame)
        held = session.borrow()[0].mask.host
    assert np.array_equal(held, mask_of(frame))
    del held
