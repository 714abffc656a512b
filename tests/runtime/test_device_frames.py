"""A picture on the device is taken where and as the same picture on the host is, and refused where that is."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.errors import EngineError, ShapeError
from edgeseg.imaging import _native
from edgeseg.imaging.formats import PIXEL_FORMATS, PixelFormat, planes_of, size_wh_of
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, PinnedRing
from edgeseg.runtime.device_frames import device_planes, is_on_device, pointers_of, streams_of

CHANNELS = {"BGR": 3, "RGB": 3, "BGRA": 4, "RGBA": 4, "YUYV": 2, "UYVY": 2}
OTHER_DEVICE, HOST = 1 << 60, 1 << 61


class Calls:
    """The driver's functions: host memory is device 0's, but for two marked addresses."""

    def device_of(self, ptr: int) -> int | None:
        return {OTHER_DEVICE: 1, HOST: None}.get(ptr, 0)

    def let_wait(self, reader: int, foreign: int) -> None: ...


class OnDevice:
    """A host array told as a device's, as torch and CuPy tell theirs."""

    def __init__(self, array: NDArray[Any], **changes: Any) -> None:
        told = array.__array_interface__
        self.array = array
        self.__cuda_array_interface__ = {
            "shape": array.shape, "typestr": told["typestr"], "data": told["data"], "version": 3,
            "strides": array.strides, "stream": None,
        } | changes  # fmt: skip


def on_device(picture: Any) -> Any:
    return tuple(map(OnDevice, picture)) if isinstance(picture, tuple) else OnDevice(picture)


def plane(random: np.random.Generator, shape: tuple[int, ...], slack: int, is_flipped: bool) -> NDArray[np.uint8]:
    """Noise with ``slack`` bytes behind each row."""
    row_bytes = int(np.prod(shape[1:]))
    room = random.integers(0, 256, (shape[0], row_bytes + slack), np.uint8)
    strides = (room.strides[0], *(int(np.prod(shape[axis + 1 :])) for axis in range(1, len(shape))))
    array = np.lib.stride_tricks.as_strided(room, shape, strides)
    return array[::-1] if is_flipped else array


def pictures(pixel_format: str, size_wh: tuple[int, int]) -> Iterator[tuple[Any, bool]]:
    """Every form of a format, and whether it may have gaps between rows."""
    width, height = size_wh
    half = height // 2, width // 2
    if pixel_format not in ("NV12", "I420"):
        channels = CHANNELS.get(pixel_format)
        yield (height, width) if channels is None else (height, width, channels), True
        return
    yield (height * 3 // 2, width), pixel_format == "NV12"
    if pixel_format == "NV12":
        yield [(height, width), (height // 2, width)], True
        yield [(height, width), (*half, 2)], True
    else:
        yield [(height, width), half, half], True


FORMS = [
    (pixel_format, size_wh, form)
    for pixel_format in PIXEL_FORMATS
    for size_wh in [(2, 2), (6, 4), (18, 10)]
    for form in range(len(list(pictures(pixel_format, size_wh))))
]


@pytest.mark.parametrize(("pixel_format", "size_wh", "form"), FORMS)
@pytest.mark.parametrize(("slack", "is_flipped"), [(0, False), (7, False), (0, True), (5, True)])
def test_planes_on_the_device_lie_where_those_on_the_host_do(
    context: CudaContext, pixel_format: PixelFormat, size_wh: tuple[int, int], form: int, slack: int, is_flipped: bool
) -> None:
    shapes, may_have_gaps = list(pictures(pixel_format, size_wh))[form]
    random = np.random.default_rng(form)
    if isinstance(shapes, tuple):
        picture: Any = plane(random, shapes, slack, is_flipped)
    else:
        picture = tuple(plane(random, shape, slack, is_flipped) for shape in shapes)
    if not may_have_gaps and (slack or is_flipped):
        with pytest.raises(ShapeError, match="three planes"):
            device_planes(context, on_device(picture), pixel_format, calls=Calls())
        return
    expected = planes_of(picture, pixel_format)
    found = device_planes(context, on_device(picture), pixel_format, calls=Calls())
    assert pointers_of(found) == tuple((one.ctypes.data, one.strides[0]) for one in expected)
    assert [one.shape for one in found] == [one.shape for one in expected]
    assert [one.pitches for one in found] == [one.strides for one in expected]
    assert size_wh_of(found) == size_wh


def is_taken(call: Any) -> bool:
    try:
        call()
    except (ShapeError, ValueError):
        return False
    return True


def preprocess(picture: Any, pixel_format: PixelFormat) -> None:
    """The native kernel on host memory, whose checks are the rule."""
    planes = planes_of(picture, pixel_format)
    width, height = size_wh_of(planes)
    plan = _native.Preprocess(
        pixel_format=pixel_format, source_wh=(width, height), matrix="BT.601", is_full_range=False,
        source_xywh=(0, 0, width, height), size_wh=(2, 2), target_xywh=(0, 0, 2, 2), pad=0.0, interpolation="linear",
        colour="RGB", dtype="uint8", layout="NCHW", mean=(0.0,) * 3, std=(1.0,) * 3, quantum=1.0, threads=1,
    )  # fmt: skip
    plan.run(planes, np.empty((1, 3, 2, 2), np.uint8))


def any_array(random: np.random.Generator) -> NDArray[Any]:
    """Often nearly a plane of 8 x 4 or 8 x 6: another shape, type or layout here and there."""
    rows, width = int(random.choice([2, 3, 4, 6, 9])), int(random.choice([4, 8, 8, 8, 9]))
    shape = [(rows, width), (rows, width, int(random.choice([1, 2, 3, 4]))), (rows, 4, 2)][int(random.integers(3))]
    kind = np.uint8 if random.random() < 0.9 else np.int8
    array = np.zeros((*(2 * side for side in shape),), kind)
    steps = [slice(0, side) if random.random() < 0.95 else slice(0, 2 * side, 2) for side in shape]
    taken = array[tuple(steps)]
    if random.random() < 0.7:
        taken = np.zeros(shape, kind)
    if random.random() < 0.1:
        taken = np.broadcast_to(taken[:1], taken.shape)
    return taken[::-1] if random.random() < 0.2 else taken


def test_what_the_host_takes_the_device_takes_and_nothing_else(context: CudaContext) -> None:
    random, verdicts = np.random.default_rng(8), {True: 0, False: 0}
    for _ in range(6000):
        pixel_format = PIXEL_FORMATS[int(random.integers(len(PIXEL_FORMATS)))]
        count = int(random.choice([0, 0, 1, 2, 2, 3]))
        picture: Any = tuple(any_array(random) for _ in range(count)) if count else any_array(random)
        expected = is_taken(lambda picture=picture, form=pixel_format: preprocess(picture, form))
        found = is_taken(
            lambda picture=picture, form=pixel_format: device_planes(context, on_device(picture), form, calls=Calls())
        )
        told = [(one.shape, one.strides, one.dtype) for one in (picture if count else [picture])]
        assert found == expected, (pixel_format, told)
        verdicts[found] += 1
    assert min(verdicts.values()) > 200, verdicts  # else this shows nothing


@pytest.mark.parametrize(
    ("shapes", "pixel_format", "words"),
    [
        ([(4, 6), (2, 4)], "NV12", r"plane 1 .* \(2, 4\).*: give uint8, 2 rows of 6 bytes"),
        ([(4, 6), (2, 3), (3, 3)], "I420", r"plane 2 .* \(3, 3\).*: give uint8, 2 rows of 3 bytes"),
        ([(4, 6)], "NV12", "1 planes as a picture: NV12 has 2"),
        ([(4, 5), (2, 5)], "NV12", "5 x 4: YUV shares chroma .* even width"),
        ([(3, 6), (1, 6)], "NV12", "6 x 3: NV12 and I420 share chroma .* even height"),
        ((4, 5, 2), "YUYV", "5 x 4: YUV shares chroma"),
        ((5, 6), "NV12", r"shape \(5, 6\): height \* 3/2 rows"),
        ((4, 6), "BGR", r"shape \(4, 6\) and type uint8: give a uint8 \(height, width, 3\) BGR array"),
    ],
)
def test_a_refusal_says_what_is_wrong(context: CudaContext, shapes: Any, pixel_format: PixelFormat, words: str) -> None:
    zeros = tuple(np.zeros(one, np.uint8) for one in shapes) if isinstance(shapes, list) else np.zeros(shapes, np.uint8)
    with pytest.raises(ShapeError, match=words):
        device_planes(context, on_device(zeros), pixel_format, calls=Calls())


@pytest.mark.parametrize(("ptr", "words"), [(OTHER_DEVICE, "on device 1, expected device 0"), (HOST, "not in device")])
def test_memory_that_the_device_does_not_have_is_refused(context: CudaContext, ptr: int, words: str) -> None:
    picture = OnDevice(np.zeros((4, 6, 3), np.uint8), data=(ptr, False))
    with pytest.raises(EngineError, match=words):
        device_planes(context, picture, "BGR", calls=Calls())


def test_planes_keep_the_picture_and_tell_its_stream_once(context: CudaContext) -> None:
    picture = OnDevice(np.zeros((6, 4), np.uint8), stream=0x77)
    planes = device_planes(context, picture, "NV12", calls=Calls())
    assert all(one.owner is picture for one in planes)
    other = OnDevice(np.zeros((2, 4), np.uint8), stream=2)
    quiet = OnDevice(np.zeros((4, 4), np.uint8))
    assert streams_of(device_planes(context, (quiet, other), "NV12", calls=Calls())) == (2,)
    assert streams_of(device_planes(context, quiet, "GRAY8", calls=Calls())) == ()


def test_tensors_of_ours_are_taken_also_in_mapped_memory_until_they_are_freed(context: CudaContext) -> None:
    ours = DeviceTensor.empty(context, (4, 6, 3), "uint8")
    planes = device_planes(context, ours, "BGR", calls=Calls())
    assert pointers_of(planes) == ((ours.ptr, 18),)
    ours.close()
    with pytest.raises(EngineError, match="was freed"):
        pointers_of(planes)
    calls = Calls()
    calls.device_of = lambda ptr: None  # type: ignore[method-assign]  # as the driver has it of page-locked memory
    with PinnedRing(context, slots=1, shape=(6, 4), dtype="uint8", is_mapped=True) as ring:
        (ptr, _), _ = pointers_of(device_planes(context, ring.device(0), "NV12", calls=calls))
        assert ptr == ring.host(0).ctypes.data


class Dlpack:
    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0


class HostTensor:
    """As torch's on the CPU."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise AttributeError("not a CUDA tensor")


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.zeros(3, np.uint8), False),
        (b"abc", False),
        (HostTensor(), False),
        (SimpleNamespace(__cuda_array_interface__={}), True),
        (Dlpack(1), False),
        (Dlpack(2), True),
        (Dlpack(3), False),  # page-locked
        (Dlpack(13), True),  # managed
        ((Dlpack(2), SimpleNamespace(__cuda_array_interface__={})), True),
        ((Dlpack(1), np.zeros(3)), False),
        ((), False),
    ],
)
def test_a_picture_is_on_the_device_where_its_memory_is(picture: Any, expected: bool) -> None:
    assert is_on_device(picture) is expected


def test_torch_says_where_its_tensors_are() -> None:
    torch = pytest.importorskip("torch")
    assert not is_on_device(torch.zeros(2)) and not is_on_device(torch.zeros(2, requires_grad=True))


def test_planes_on_both_sides_are_refused() -> None:
    with pytest.raises(ShapeError, match="put all on one side"):
        is_on_device((np.zeros((4, 6), np.uint8), Dlpack(2)))
