"""Own what the pre-processing kernels promise, as tests for any launcher: the CPU's bits, nothing written beside them.

Every sum has the CPU's order, antialias too, so each comparison is one of bytes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from kernel_lab import POISON
from kernel_launchers import Launcher, Room
from numpy.typing import NDArray

from edgeseg.imaging import _native
from edgeseg.imaging.formats import PIXEL_FORMATS
from edgeseg.runtime.kernels.preprocess import PreprocessKernel

__all__ = ["PLACES", "PreprocessRules", "assert_same_bits", "expected_of", "plan_of", "planes_of"]

INTERPOLATIONS, COLOURS = ("linear", "antialias"), ("RGB", "BGR", "GRAY")
DTYPES, LAYOUTS = ("float32", "float16", "uint8", "int8"), ("NCHW", "NHWC")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INT_QUANTUM = 1 / 50  # values go from -2.1 to 2.6: int8 and uint8 are clamped at one end
STEPS = {"BGR": 3, "RGB": 3, "BGRA": 4, "RGBA": 4, "GRAY8": 1, "YUYV": 2, "UYVY": 2}


@dataclass(frozen=True)
class Place:
    """What is read and where it goes; NV12 and I420 need even sides of the picture, the parts may be odd."""

    source_wh: tuple[int, int]
    source: tuple[int, int, int, int]
    size_wh: tuple[int, int]
    target: tuple[int, int, int, int]


def whole(source_wh: tuple[int, int], size_wh: tuple[int, int]) -> Place:
    return Place(source_wh, (0, 0, *source_wh), size_wh, (0, 0, *size_wh))


PLACES = {
    "enlarged": whole((38, 22), (41, 30)),
    "shrunk": whole((38, 22), (9, 17)),
    "in quads": whole((38, 22), (16, 8)),
    "letterbox": Place((38, 22), (0, 0, 38, 22), (33, 23), (3, 2, 26, 15)),
    "letterbox in quads": Place((38, 22), (0, 0, 38, 22), (32, 12), (5, 0, 22, 12)),
    "crop": Place((38, 22), (5, 3, 17, 11), (23, 7), (0, 0, 23, 7)),
    "crop at the end": Place((38, 22), (21, 9, 17, 13), (8, 21), (1, 1, 7, 20)),
    "one pixel read": Place((38, 22), (37, 21, 1, 1), (6, 3), (1, 1, 4, 2)),
    "one pixel made": Place((38, 22), (0, 0, 38, 22), (1, 1), (0, 0, 1, 1)),
    "much shrunk": whole((130, 90), (5, 3)),
}


def plan_of(place: Place, pixel_format: str, **kwargs: Any) -> _native.Preprocess:
    given: dict[str, Any] = {
        "matrix": "BT.601", "is_full_range": False, "pad": 114.0, "interpolation": "linear", "colour": "RGB",
        "dtype": "float32", "layout": "NCHW", "threads": 1,
    }  # fmt: skip
    given |= kwargs
    channels = 1 if given["colour"] == "GRAY" else 3
    return _native.Preprocess(
        pixel_format=pixel_format,
        source_wh=place.source_wh,
        source_xywh=place.source,
        size_wh=place.size_wh,
        target_xywh=place.target,
        mean=MEAN[:channels],
        std=STD[:channels],
        quantum=INT_QUANTUM if given["dtype"] in ("uint8", "int8") else 1.0,
        **given,
    )


def planes_of(
    pixel_format: str, size_wh: tuple[int, int], *, slack: int = 0, offset: int = 0, is_flipped: bool = False
) -> tuple[NDArray[np.uint8], ...]:
    """Noise in buffers of their own, ``slack`` bytes behind each row, ``offset`` bytes in front of the first."""
    width, height = size_wh
    shapes = {
        "NV12": ((height, width), (height // 2, width)),
        "I420": ((height, width), (height // 2, width // 2), (height // 2, width // 2)),
    }.get(pixel_format, ((height, width * STEPS.get(pixel_format, 0)),))
    random = np.random.default_rng(len(pixel_format) + width)
    planes = []
    for rows, row_bytes in shapes:
        room = random.integers(0, 256, offset + rows * (row_bytes + slack), np.uint8)
        plane = room[offset:].reshape(rows, row_bytes + slack)[:, :row_bytes]
        planes.append(plane[::-1] if is_flipped else plane)
    return tuple(planes)


def expected_of(plan: _native.Preprocess, planes: tuple[NDArray[np.uint8], ...]) -> NDArray[Any]:
    tables = plan.tables()
    (width, height), channels = tables["size_wh"], 1 if tables["colour"] == "GRAY" else 3
    shape = (1, channels, height, width) if tables["layout"] == "NCHW" else (1, height, width, channels)
    tensor = np.empty(shape, tables["dtype"])
    plan.run(planes, tensor)
    return tensor


def found_by(
    launcher: Launcher,
    plan: _native.Preprocess,
    planes: tuple[NDArray[np.uint8], ...],
    shape: tuple[int, ...],
    *,
    offset: int = 0,
    batch: tuple[int, int] = (0, 1),
    backwards: bool = False,
    block: tuple[int, int] | None = None,
) -> Room:
    """The kernel's tensor of ``batch[1]`` images, poisoned before, image ``batch[0]`` made."""
    kernel = PreprocessKernel(plan.tables())
    made = launcher.room((batch[1], *shape[1:]), plan.tables()["dtype"], offset=offset)
    params = kernel.params(
        [(launcher.put(plane), plane.strides[0]) for plane in planes],
        tables_ptr=launcher.put(kernel.table_bytes),
        tensor_ptr=made.ptr,
        batch_index=batch[0],
    )
    grid = kernel.grid
    if block is not None:
        grid = (-(-kernel.grid[0] * kernel.block[0] // block[0]), -(-kernel.grid[1] * kernel.block[1] // block[1]))
    launcher.launch(kernel.name, grid, block or kernel.block, params, backwards=backwards)
    return made


def assert_same_bits(
    launcher: Launcher, plan: _native.Preprocess, planes: tuple[NDArray[np.uint8], ...], **kwargs: Any
) -> None:
    expected = expected_of(plan, planes)
    found = found_by(launcher, plan, planes, expected.shape, **kwargs).read()
    assert found.tobytes() == expected.tobytes(), np.abs(found.astype(float) - expected.astype(float)).max()


def random_place(random: np.random.Generator) -> Place:
    def below(end: int) -> int:
        return int(random.integers(end))

    def part_of(width: int, height: int) -> tuple[int, int, int, int]:
        part_wh = 1 + below(width), 1 + below(height)
        return below(width - part_wh[0] + 1), below(height - part_wh[1] + 1), *part_wh

    source_wh, size_wh = (2 + 2 * below(40), 2 + 2 * below(40)), (1 + below(60), 1 + below(60))
    return Place(source_wh, part_of(*source_wh), size_wh, part_of(*size_wh))


class PreprocessRules:
    """For a test class of a folder that has a fixture ``launcher``."""

    @pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
    @pytest.mark.parametrize("place", PLACES)
    def test_every_combination_has_the_bits_of_the_cpu(self, launcher: Launcher, place: str, pixel_format: str) -> None:
        planes = planes_of(pixel_format, PLACES[place].source_wh)
        for interpolation, colour, dtype, layout in itertools.product(INTERPOLATIONS, COLOURS, DTYPES, LAYOUTS):
            kinds = {"interpolation": interpolation, "colour": colour, "dtype": dtype, "layout": layout}
            assert_same_bits(launcher, plan_of(PLACES[place], pixel_format, **kinds), planes)

    @pytest.mark.parametrize("seed", range(60))
    def test_random_parts_have_the_bits_of_the_cpu(self, launcher: Launcher, seed: int) -> None:
        random = np.random.default_rng(seed)
        place, pixel_format = random_place(random), str(random.choice(PIXEL_FORMATS))
        planes = planes_of(pixel_format, place.source_wh, slack=int(random.integers(9)))
        lists = {"interpolation": INTERPOLATIONS, "colour": COLOURS, "dtype": DTYPES, "layout": LAYOUTS}
        kinds = {name: str(random.choice(values)) for name, values in lists.items()}
        plan = plan_of(place, pixel_format, pad=float(random.uniform(0, 255)), **kinds)
        assert_same_bits(launcher, plan, planes, backwards=bool(random.integers(2)))

    @pytest.mark.parametrize("pixel_format", ["YUYV", "UYVY", "NV12", "I420"])
    @pytest.mark.parametrize("matrix", ["BT.601", "BT.709"])
    @pytest.mark.parametrize("is_full_range", [False, True])
    def test_every_matrix_and_range_has_the_bits_of_the_cpu(
        self, launcher: Launcher, pixel_format: str, matrix: str, is_full_range: bool
    ) -> None:
        planes = planes_of(pixel_format, (38, 22))
        for interpolation in INTERPOLATIONS:
            kinds = {"matrix": matrix, "is_full_range": is_full_range, "interpolation": interpolation}
            assert_same_bits(launcher, plan_of(PLACES["crop"], pixel_format, **kinds), planes)

    @pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
    @pytest.mark.parametrize(("slack", "offset"), [(0, 1), (1, 0), (6, 4), (7, 3)])
    @pytest.mark.parametrize("is_flipped", [False, True])
    def test_any_pitch_and_address_give_the_same(
        self, launcher: Launcher, pixel_format: str, slack: int, offset: int, is_flipped: bool
    ) -> None:
        planes = planes_of(pixel_format, (38, 22), slack=slack, offset=offset, is_flipped=is_flipped)
        for interpolation in INTERPOLATIONS:
            assert_same_bits(launcher, plan_of(PLACES["letterbox"], pixel_format, interpolation=interpolation), planes)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("colour", COLOURS)
    def test_a_tensor_at_any_aligned_address_is_written_alike(
        self, launcher: Launcher, dtype: str, layout: str, colour: str
    ) -> None:
        planes = planes_of("BGR", (38, 22))
        for place, pieces in itertools.product(("in quads", "letterbox"), (0, 1, 2, 3)):
            plan = plan_of(PLACES[place], "BGR", dtype=dtype, layout=layout, colour=colour)
            assert_same_bits(launcher, plan, planes, offset=pieces * np.dtype(dtype).itemsize)

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("place", ["in quads", "letterbox"])
    def test_one_image_of_a_batch_is_written_and_no_other(self, launcher: Launcher, place: str, layout: str) -> None:
        plan, planes = plan_of(PLACES[place], "NV12", dtype="float16", layout=layout), planes_of("NV12", (38, 22))
        expected = expected_of(plan, planes)
        found = found_by(launcher, plan, planes, expected.shape, batch=(1, 3)).read()
        assert found[1:2].tobytes() == expected.tobytes()
        assert (found[[0, 2]].view(np.uint8) == POISON).all()

    @pytest.mark.parametrize("pixel_format", ["BGR", "GRAY8", "I420"])
    @pytest.mark.parametrize("interpolation", INTERPOLATIONS)
    def test_the_order_and_the_shape_of_the_threads_make_no_difference(
        self, launcher: Launcher, pixel_format: str, interpolation: str
    ) -> None:
        planes = planes_of(pixel_format, (38, 22))
        plan = plan_of(PLACES["letterbox"], pixel_format, interpolation=interpolation)
        assert_same_bits(launcher, plan, planes, backwards=True)
        assert_same_bits(launcher, plan, planes, block=(5, 3))
        assert_same_bits(launcher, plan, planes, block=(256, 1))

    @pytest.mark.parametrize("pixel_format", ["BGRA", "GRAY8", "NV12"])
    @pytest.mark.parametrize("interpolation", INTERPOLATIONS)
    def test_a_camera_sized_picture_has_the_bits_of_the_cpu(
        self, launcher: Launcher, pixel_format: str, interpolation: str
    ) -> None:
        place = Place((1280, 720), (0, 0, 1280, 720), (512, 320), (0, 16, 512, 288))
        planes = planes_of(pixel_format, place.source_wh)
        assert_same_bits(launcher, plan_of(place, pixel_format, interpolation=interpolation, dtype="float16"), planes)
