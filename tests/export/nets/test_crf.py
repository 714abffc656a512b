"""The CRF's rules, held to a mean-field inference written out pixel by pixel, and its graph's tail."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.crf import LocalCrf, Pairwise  # noqa: E402
from edgeseg.export.nets.deeplab_v1 import deeplab_v1_crf  # noqa: E402
from edgeseg.export.nets.deeplab_v2 import deeplab_v2_crf  # noqa: E402
from edgeseg.export.onnx_export import ExportOptions, export_model  # noqa: E402
from edgeseg.graph.reading import read_graph  # noqa: E402
from edgeseg.graph.tail import find_tail  # noqa: E402
from edgeseg.imaging.palettes import labels_for  # noqa: E402

#: all terms say something at the small sizes of these tests
PAIRWISE = Pairwise(appearance=4, near=6, alike=13, smoothness=3, beside=3)
TOLERANCE = 1e-5  # of scores around 10, in float32
STD = np.array([0.229, 0.224, 0.225])  # ImageNet's
MEAN = np.array([0.485, 0.456, 0.406])


@pytest.mark.parametrize(("stride", "window", "classes"), [(1, 3, 4), (2, 5, 3), (3, 7, 2), (2, 11, 2)])
def test_the_crf_is_mean_field_inference_with_a_window(stride: int, window: int, classes: int) -> None:
    rng = np.random.default_rng(stride)
    pixels = smooth_picture(rng, 8 * stride, 9 * stride)
    logits = rng.normal(0, 3, (classes, 8, 9))

    crf = LocalCrf(PAIRWISE, stride=stride, in_channels=3, window=window)
    refined = crf(tensor(logits), normalised(pixels))[0].numpy()

    expected = mean_field(logits, shrunk(pixels, stride), PAIRWISE, stride, window, iterations=5)
    np.testing.assert_allclose(refined, expected, rtol=0, atol=TOLERANCE)
    assert np.abs(refined - logits).max() > 1


def test_one_score_stands_for_the_difference_of_two() -> None:
    rng = np.random.default_rng(0)
    image, score = normalised(smooth_picture(rng, 8, 9)), rng.normal(0, 2, (1, 8, 9))
    crf = LocalCrf(PAIRWISE, stride=1, in_channels=3)

    one = crf(tensor(score), image)
    two = crf(tensor(np.concatenate([np.zeros_like(score), score])), image)

    torch.testing.assert_close(one[:, 0], two[:, 1] - two[:, 0], rtol=0, atol=TOLERANCE)


def test_every_image_of_a_batch_is_refined_for_itself() -> None:
    rng = np.random.default_rng(1)
    images = torch.cat([normalised(smooth_picture(rng, 16, 16)) for _ in range(2)])
    logits = torch.cat([tensor(rng.normal(0, 3, (3, 8, 8))) for _ in range(2)])
    crf = LocalCrf(PAIRWISE, stride=2, in_channels=3, window=5)

    single = [crf(logits[index : index + 1], images[index : index + 1]) for index in range(2)]

    torch.testing.assert_close(crf(logits, images), torch.cat(single), rtol=0, atol=TOLERANCE)


def test_no_iteration_gives_the_logits_back() -> None:
    logits = torch.randn(1, 4, 6, 6)
    crf = LocalCrf(PAIRWISE, stride=1, in_channels=3, iterations=0)
    assert torch.equal(crf(logits, torch.randn(1, 3, 6, 6)), logits)


def test_a_speckle_in_an_even_region_disappears() -> None:
    logits = np.zeros((2, 11, 11))
    logits[0], logits[1, 5, 5] = 2.0, 4.0

    refined = LocalCrf(PAIRWISE, stride=8, in_channels=3)(tensor(logits), torch.zeros(1, 3, 88, 88))

    assert logits.argmax(0).sum() == 1
    assert refined.argmax(1).sum() == 0


def test_a_speckle_of_another_colour_stays() -> None:
    logits, pixels = np.zeros((2, 11, 11)), np.full((11, 11, 3), 40.0)
    logits[0], logits[1, 5, 5] = 2.0, 4.0
    pixels[5, 5] = 220.0
    alone = Pairwise(appearance=4, near=6, alike=5, smoothness=0, beside=1)

    refined = LocalCrf(alone, stride=1, in_channels=3)(tensor(logits), normalised(pixels))

    assert np.argwhere(refined[0].argmax(0).numpy()).tolist() == [[5, 5]]


@pytest.mark.parametrize("mask_edge", [6, 10])
def test_an_edge_of_the_image_attracts_the_mask_s_edge(mask_edge: int) -> None:
    picture_edge, width = 8, 16
    pixels, logits = np.full((12, width, 3), 60.0), np.zeros((2, 12, width))
    pixels[:, picture_edge:] = 180.0
    logits[1] = np.where(np.arange(width) < mask_edge, -3.0, 3.0)
    between = slice(min(mask_edge, picture_edge), max(mask_edge, picture_edge))
    logits[1, :, between] /= 10  # unsure, and wrong

    refined = LocalCrf(PAIRWISE, stride=1, in_channels=3)(tensor(logits), normalised(pixels))

    assert np.array_equal(logits.argmax(0), np.broadcast_to(np.arange(width) >= mask_edge, (12, width)))
    assert np.array_equal(refined[0].argmax(0).numpy(), np.broadcast_to(np.arange(width) >= picture_edge, (12, width)))


@pytest.mark.parametrize(("channels", "std"), [(1, [0.226]), (3, [0.229, 0.224, 0.225]), (4, [0.226] * 4)])
def test_colours_are_compared_as_0_to_255_by_imagenet_s_deviations(channels: int, std: list[float]) -> None:
    crf = LocalCrf(PAIRWISE, stride=1, in_channels=channels)
    assert crf.state_dict()["std"].flatten().tolist() == pytest.approx(std)
    assert crf(torch.zeros(1, 2, 5, 5), torch.randn(1, channels, 5, 5)).shape == (1, 2, 5, 5)


def test_deviations_of_position_shrink_with_the_stride_and_nothing_else_does() -> None:
    held = LocalCrf(PAIRWISE, stride=8, in_channels=3).state_dict()["pairwise"]
    assert held.tolist() == pytest.approx([4, 6 / 8, 13, 3, 3 / 8])


def test_other_weights_can_be_loaded() -> None:
    rng = np.random.default_rng(2)
    image, logits = normalised(smooth_picture(rng, 8, 8)), tensor(rng.normal(0, 3, (3, 8, 8)))
    one = LocalCrf(PAIRWISE, stride=1, in_channels=3)
    other = LocalCrf(Pairwise(appearance=9, near=1, alike=2, smoothness=1, beside=1), stride=1, in_channels=3)
    expected = other(logits, image)

    assert not torch.equal(one(logits, image), expected)
    one.load_state_dict(other.state_dict())
    assert torch.equal(one(logits, image), expected)


def test_a_crf_learns_nothing() -> None:
    assert not list(LocalCrf(PAIRWISE, stride=8, in_channels=3).parameters())


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 2), (8, 9), (17, 33), (96, 128), (513, 513)])
def test_the_shrunk_image_has_the_size_of_three_halvings(size_hw: tuple[int, int]) -> None:
    height, width = (-(-side // 8) for side in size_hw)
    logits = torch.randn(1, 2, height, width)
    assert LocalCrf(PAIRWISE, stride=8, in_channels=3)(logits, torch.randn(1, 3, *size_hw)).shape == logits.shape


@pytest.mark.parametrize("window", [-3, 0, 1, 8])
def test_a_window_without_a_middle_or_a_neighbour_is_refused(window: int) -> None:
    with pytest.raises(ModelError, match=f"window is {window}"):
        LocalCrf(PAIRWISE, stride=8, in_channels=3, window=window)


@pytest.mark.parametrize(
    ("factory", "arguments"), [(deeplab_v1_crf, {}), (deeplab_v2_crf, {"backbone": "vgg16"})], ids=["v1", "v2"]
)
def test_the_tail_behind_the_crf_is_cut(factory: Any, arguments: dict[str, str], tmp_path: Path) -> None:
    export_model(
        factory(3, width=0.125, **arguments),
        tmp_path / "net.onnx",
        ExportOptions(size_hw=(33, 49)),
        labels=labels_for,
        sample_bgr=np.full((33, 49, 3), 128, np.uint8),
    )
    tail = find_tail(read_graph(tmp_path / "net.onnx").model)
    assert tail.head.size_hw == (5, 7)
    assert tail.head.cut == ("Resize linear half_pixel 5x7 -> 33x49",)
    assert not tail.left


def mean_field(logits: Any, pixels: Any, pairwise: Pairwise, stride: int, window: int, iterations: int) -> Any:
    """Krähenbühl and Koltun's algorithm 1, a pixel and a neighbour at a time, float64; kernels divided by their sum."""
    _, height, width = logits.shape
    near, beside, reach = pairwise.near / stride, pairwise.beside / stride, window // 2
    weights = np.zeros((height, width, height, width))
    for y, x in np.ndindex(height, width):
        rows = range(max(0, y - reach), min(height, y + reach + 1))
        columns = range(max(0, x - reach), min(width, x + reach + 1))
        appearance, smoothness = {}, {}
        for place in itertools.product(rows, columns):
            apart = (place[0] - y) ** 2 + (place[1] - x) ** 2
            unlike = float(((pixels[place] - pixels[y, x]) ** 2).sum())
            appearance[place] = np.exp(-apart / (2 * near**2) - unlike / (2 * pairwise.alike**2))
            smoothness[place] = np.exp(-apart / (2 * beside**2))
        for place in appearance:
            if place != (y, x):
                weights[(y, x, *place)] = pairwise.appearance * appearance[place] / sum(
                    appearance.values()
                ) + pairwise.smoothness * smoothness[place] / sum(smoothness.values())
    refined = logits
    for _ in range(iterations):
        beliefs = np.exp(refined - refined.max(0))
        beliefs = beliefs / beliefs.sum(0)
        refined = logits + np.einsum("yxvu,cvu->cyx", weights, beliefs)
    return refined


def shrunk(pixels: Any, stride: int) -> Any:
    """The mean of all pixels not more than half a stride from the one that a score is centred on."""
    height, width, channels = pixels.shape
    small = np.zeros((-(-height // stride), -(-width // stride), channels))
    for y, x in np.ndindex(*small.shape[:2]):
        top, left, reach = y * stride, x * stride, stride // 2
        patch = pixels[max(0, top - reach) : top + reach + 1, max(0, left - reach) : left + reach + 1]
        small[y, x] = patch.mean((0, 1))
    return small


def smooth_picture(rng: Any, height: int, width: int) -> Any:
    """Colours 0-255 that differ by about a deviation from pixel to pixel, HWC."""
    steps = rng.normal(0, 8, (height, width, 3)).cumsum(0).cumsum(1)
    return np.clip(128 + steps / 4, 0, 255)


def normalised(pixels: Any) -> Any:
    """An image as it enters the net, 1x3xHxW."""
    return tensor(((pixels / 255 - MEAN) / STD).transpose(2, 0, 1))


def tensor(array: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(array)).float()[None]
