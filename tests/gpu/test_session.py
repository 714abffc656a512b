"""A session around a torch module on a device gives what the CPU makes of the same module's scores, to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from kernel_launchers import CudaLauncher
from numpy.typing import NDArray
from preprocess_rules import planes_of
from torch_engine import HostSide, TorchEngine, engine_spec, is_standin, mixing_module

from edgeseg.errors import EngineError
from edgeseg.imaging.formats import PIXEL_FORMATS, Picture
from edgeseg.imaging.overlay import Overlay
from edgeseg.runtime.cuda import CudaContext, DeviceTensor
from edgeseg.runtime.pipelines import Wanted
from edgeseg.runtime.session import Session
from edgeseg.spec import HeadSpec, InputSpec, ProfileSpec

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:frames run without CUDA graphs"),  # said where they cannot be; see their test
]

INPUT_HW, STEP, CHANNELS = (48, 64), 4, 5
FRAME_WH = (90, 54)
ONE_LEVEL = 1  # of confidence: the CPU's plan leaves classes out that add less than a tenth of a level
PROFILE = ProfileSpec(minimum=(1, 16, 16), optimum=(1, *INPUT_HW), maximum=(3, 96, 128), step_hw=(16, 16))

Make = Callable[..., Any]


def model(*, resize: Any = "stretch", scores_dtype: Any = "float32", profile: ProfileSpec | None = None) -> Any:
    image = InputSpec(
        name="image", size_hw=INPUT_HW, mean=(0.4,) * 3, std=(0.2,) * 3, resize=resize, pad_value=114, profile=profile
    )
    scores_hw = INPUT_HW[0] // STEP, INPUT_HW[1] // STEP
    head = HeadSpec(output="scores", channels=CHANNELS, size_hw=scores_hw, decision="argmax", scores_dtype=scores_dtype)
    return engine_spec(image, head)


@pytest.fixture
def engine(cuda: CudaContext) -> Iterator[Make]:
    """``engine(slots, **model)``: closed behind the test."""
    made = []

    def engine(slots: int = 1, *, no_capture: str = "", **options: Any) -> TorchEngine:
        one = TorchEngine(
            mixing_module(CHANNELS, STEP), model(**options), slots=slots, cuda=cuda, no_capture=no_capture
        )
        made.append(one)
        return one

    yield engine
    for one in made:
        one.close()


def frames_of(count: int, *, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Noise of different sizes in turn."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (FRAME_WH[1] + i % 2 * 7, FRAME_WH[0], 3), np.uint8) for i in range(count)]


def masks_of(session: Session, frames: list[Any], **form: Any) -> list[NDArray[np.uint8]]:
    """As many in flight as there is room."""
    masks = []
    for frame in frames:
        if session.pending == session.depth:
            masks.append(session.result())
        session.submit(frame, **form)
    return masks + [session.result() for _ in range(session.pending)]


def check_masks(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_any_depth_gives_the_cpus_masks_in_their_order(engine: Make, depth: int, graphs: bool) -> None:
    frames = frames_of(11)
    with Session(HostSide(engine()), threads=1) as on_cpu, Session(engine(depth), graphs=graphs) as session:
        expected = masks_of(on_cpu, frames)
        assert len({mask.tobytes() for mask in expected}) == len(frames)  # an order that is lost would be seen
        check_masks(masks_of(session, frames), expected)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_every_format_and_resize_gives_the_cpus_mask(engine: Make, pixel_format: Any, resize: str) -> None:
    planes = planes_of(pixel_format, FRAME_WH, slack=6)
    frame: Picture = planes if len(planes) > 1 else shaped(planes[0], pixel_format)
    form = {"pixel_format": pixel_format, "colour_matrix": "BT.709", "is_full_range": True}
    with Session(HostSide(engine(resize=resize)), threads=1) as on_cpu, Session(engine(2, resize=resize)) as session:
        check_masks(masks_of(session, [frame] * 4, **form), masks_of(on_cpu, [frame] * 4, **form))


def shaped(plane: NDArray[np.uint8], pixel_format: str) -> NDArray[np.uint8]:
    """Rows of bytes as rows of pixels, where a pixel has several; the pitch stays."""
    if pixel_format == "GRAY8":
        return plane
    height, width = plane.shape[0], FRAME_WH[0]
    channels = plane.shape[1] // width
    return np.lib.stride_tricks.as_strided(plane, (height, width, channels), (plane.strides[0], channels, 1))


@pytest.mark.parametrize("scores_dtype", ["float32", "float16"])
def test_all_that_can_be_wanted_is_what_the_cpu_makes(engine: Make, scores_dtype: str) -> None:
    frames = frames_of(6)
    labels = model().model.labels
    wanted = Wanted(confidence=True, areas=True, overlay=Overlay(labels, threads=1))
    on_host, on_device = engine(scores_dtype=scores_dtype), engine(scores_dtype=scores_dtype)
    with Session(HostSide(on_host), threads=1, wanted=wanted) as on_cpu, Session(on_device, wanted=wanted) as session:
        for frame in frames:
            on_cpu.submit(frame)
            session.submit(frame)
            expected, found = on_cpu.result_all(), session.result_all()
            np.testing.assert_array_equal(found.mask, expected.mask)
            np.testing.assert_array_equal(found.areas, expected.areas)
            np.testing.assert_array_equal(found.picture, expected.picture)
            assert np.abs(found.confidence.astype(int) - expected.confidence).max() <= ONE_LEVEL


@pytest.mark.parametrize("library", ["edgeseg", "torch", "cupy"])
def test_frames_on_the_device_are_taken_where_they_lie(engine: Make, library: str, launcher: CudaLauncher) -> None:
    frames = frames_of(5)
    moved = [on_device(one, library, launcher) for one in frames]
    with Session(HostSide(engine()), threads=1) as on_cpu, Session(engine(2)) as session:
        session.reset_counters()
        check_masks(masks_of(session, moved), masks_of(on_cpu, frames))
        assert session.counters.bytes_in < frames[0].nbytes  # tables, and no frame


def on_device(frame: NDArray[np.uint8], library: str, launcher: CudaLauncher) -> Any:
    """The frame in device memory of a library."""
    if library == "edgeseg":
        block = launcher.uploaded(frame.reshape(-1))
        pitches = frame.strides
        return DeviceTensor(ptr=block.ptr, shape=frame.shape, dtype=frame.dtype, pitches=pitches, owner=block)
    if is_standin():
        pytest.skip("the device that stands in has none of these libraries")
    other = pytest.importorskip(library)
    return other.asarray(frame) if library == "cupy" else other.from_numpy(frame).cuda()


def test_an_engine_that_no_graph_may_hold_gives_the_same_and_says_why(engine: Make) -> None:
    frames = frames_of(6)
    with Session(engine(2)) as session, Session(engine(2, no_capture="it is a test")) as plain:
        check_masks(masks_of(plain, frames), masks_of(session, frames))
        assert "it is a test" in plain.graph_state


def test_frames_of_one_case_are_launched_as_a_graph(engine: Make) -> None:
    pytest.importorskip("cuda.bindings.driver", exc_type=ImportError)
    with Session(engine(1)) as session:
        masks_of(session, frames_of(1) * 6)
        assert session.counters.graph_launches >= 4, session.graph_state


def test_another_input_size_and_back_gives_the_cpus_masks(engine: Make) -> None:
    frames = frames_of(3)
    on_host, on_device = engine(profile=PROFILE), engine(2, profile=PROFILE)
    with Session(HostSide(on_host), threads=1) as on_cpu, Session(on_device) as session:
        expected = masks_of(on_cpu, frames)
        for size_hw in ((96, 128), INPUT_HW, (16, 16), INPUT_HW):
            session.resize_input(size_hw)
            found = masks_of(session, frames)
            assert session.input_hw == size_hw
            if size_hw == INPUT_HW:
                check_masks(found, expected)
        with pytest.raises(EngineError):
            session.resize_input((17, 16))


def test_a_batch_is_what_its_frames_are_one_by_one(engine: Make) -> None:
    frames = [frames_of(6)[i] for i in (0, 2, 4)]
    with Session(HostSide(engine()), threads=1) as on_cpu, Session(engine(2, profile=PROFILE)) as session:
        expected = masks_of(on_cpu, frames)
        for count in (3, 2, 3):
            session.submit_batch(frames[:count])
            check_masks([one.mask for one in session.result_batch()], expected[:count])


def test_sessions_in_threads_do_not_disturb_each_other(engine: Make) -> None:
    kinds = [frames_of(12, seed=seed) for seed in range(3)]
    with Session(HostSide(engine()), threads=1) as on_cpu:
        expected = [masks_of(on_cpu, frames) for frames in kinds]
    sessions = [Session(engine(2)) for _ in kinds]
    found: list[list[NDArray[np.uint8]]] = [[] for _ in kinds]

    def run(index: int) -> None:
        found[index] = masks_of(sessions[index], kinds[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(kinds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in sessions:
        one.close()
    for ours, theirs in zip(found, expected, strict=True):
        check_masks(ours, theirs)


def test_frame_after_frame_leaves_no_handle_behind(engine: Make, cuda: CudaContext) -> None:
    before = cuda.counters().live
    with Session(engine(2)) as session:
        masks_of(session, frames_of(4) * 2)
        warm = session.counters.live
        masks_of(session, frames_of(4) * 3)
        assert session.counters.live == warm
    with cuda.current():
        assert cuda.counters().live == before
