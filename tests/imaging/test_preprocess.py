from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.spec import InputSpec

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: on pixel / 255, before std divides it
LINEAR_TOLERANCE = 1e-5 / min(STD)


def image_spec(size_hw: tuple[int, int], **kwargs: object) -> InputSpec:
    return InputSpec(**({"name": "image", "size_hw": size_hw, "mean": MEAN, "std": STD} | kwargs))  # type: ignore[arg-type]


def photograph() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


@pytest.mark.parametrize("size_hw", [(64, 96), (256, 512), (700, 900), (512, 512)])
def test_normalised_stretch_linear_equals_torch(size_hw: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    frame_bgr = photograph()
    tensor = Preprocessor(image_spec(size_hw)).tensor(frame_bgr)
    rgb = torch.from_numpy(frame_bgr[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    resized = torch.nn.functional.interpolate(rgb, size=size_hw, mode="bilinear", align_corners=False)
    expected = (resized - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    assert np.abs(tensor - expected.numpy()).max() <= LINEAR_TOLERANCE


@pytest.mark.parametrize(("colour", "plane_of_blue"), [("RGB", 2), ("BGR", 0)])
def test_colour_order_is_the_specs(colour: str, plane_of_blue: int) -> None:
    frame_bgr = np.zeros((8, 8, 3), np.uint8)
    frame_bgr[:, :, 0] = 255
    tensor = Preprocessor(image_spec((8, 8), colour=colour, mean=(0.0,) * 3, std=(1.0,) * 3)).tensor(frame_bgr)
    assert [float(plane.max()) for plane in tensor[0]] == [1.0 if i == plane_of_blue else 0.0 for i in range(3)]


def test_grey_input_is_the_luma_of_bt601() -> None:
    frame_bgr = np.full((4, 4, 3), (10, 100, 200), np.uint8)
    tensor = Preprocessor(image_spec((4, 4), colour="GRAY", mean=(0.0,), std=(1.0,))).tensor(frame_bgr)
    assert tensor.shape == (1, 1, 4, 4)
    assert float(tensor[0, 0, 0, 0]) * 255 == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 10, abs=1e-4)


def test_buffers_are_reused_and_an_earlier_tensor_is_left_alone() -> None:
    maker = Preprocessor(image_spec((16, 16)))
    frame_bgr = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    first = maker.tensor(frame_bgr)
    copy = first.copy()
    maker.tensor(255 - frame_bgr)
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_what_is_no_frame_is_refused(frame: object) -> None:
    with pytest.raises(ShapeError, match=r"BGR|no buffer"):
        Preprocessor(image_spec((8, 8))).tensor(frame)  # type: ignore[arg-type]


def test_a_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(1, 3, 8, 9\).*float32 \(N, 3, 8, 8\)"):
        Preprocessor(image_spec((8, 8))).into(np.empty((1, 3, 8, 9), np.float32), np.zeros((4, 4, 3), np.uint8))


def test_frames_of_many_sizes_share_a_preprocessor() -> None:
    maker = Preprocessor(image_spec((8, 8)), threads=2)
    for side in (*range(1, 12), *range(1, 12)):
        frame_bgr = np.full((side, side + 1, 3), side, np.uint8)
        expected = (side / 255 - np.array(MEAN)) / np.array(STD)
        np.testing.assert_allclose(maker.tensor(frame_bgr)[0].max(axis=(1, 2)), expected, rtol=1e-5, atol=1e-5)


def test_threads_make_no_difference() -> None:
    frame_bgr = np.random.default_rng(0).integers(0, 256, (75, 91, 3), np.uint8)
    tensors = [Preprocessor(image_spec((37, 50)), threads=threads).tensor(frame_bgr) for threads in (1, 2, 3, 64)]
    for tensor in tensors[1:]:
        np.testing.assert_array_equal(tensor, tensors[0])


def test_one_preprocessor_serves_several_python_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (120, 160, 3), np.uint8) for _ in range(8)]
    maker = Preprocessor(image_spec((64, 96)), threads=2)
    expected = [maker.tensor(frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for tensor, known in zip(pool.map(maker.tensor, frames), expected, strict=True):
                np.testing.assert_array_equal(tensor, known)


def test_an_old_sidecar_without_the_new_keys_reads_as_stretch_and_linear() -> None:
    import msgspec

    old = b'{"name":"image","size_hw":[8,8],"mean":[0,0,0],"std":[1,1,1],"resize":"stretch","interpolation":"linear"}'
    spec = msgspec.json.decode(old, type=InputSpec)
    assert (spec.resize, spec.interpolation, spec.pad_value) == ("stretch", "linear", 0.0)


@pytest.mark.parametrize("pad_value", [-1.0, 256.0, float("nan")])
def test_a_pad_value_that_is_no_grey_level_is_refused(pad_value: float) -> None:
    with pytest.raises(ValueError, match="grey level"):
        image_spec((8, 8), pad_value=pad_value)


def test_frames_and_tensors_are_taken_as_arrays_memoryviews_and_dlpack_tensors_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    maker = Preprocessor(image_spec((8, 16)))
    expected = maker.tensor(frame)
    for form in (memoryview(frame), torch.from_numpy(frame)):
        np.testing.assert_array_equal(maker.tensor(form), expected)
    for tensor in (memoryview(np.empty_like(expected)), torch.empty(expected.shape)):
        maker.into(tensor, frame)
        np.testing.assert_array_equal(np.asarray(tensor), expected)
