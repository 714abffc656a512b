"""U-Net: its size, its stages, its dropout, and an end that becomes the same mask when it is cut off."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from published import parameters, shapes_of, weightless

torch = pytest.importorskip("torch")
ir = pytest.importorskip("onnx_ir")
for package in ("onnxruntime", "skimage"):
    pytest.importorskip(package)

from net_lab import export, photographs, settled  # noqa: E402  (scripts/)

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.catalogue import BUILT_IN  # noqa: E402
from edgeseg.export.nets.unet import UNet, unet  # noqa: E402
from edgeseg.export.parity import run_onnx  # noqa: E402
from edgeseg.graph.preparing import Prepared, PrepareOptions, prepare  # noqa: E402
from edgeseg.graph.reading import read_graph  # noqa: E402
from edgeseg.imaging.preprocess import Preprocessor  # noqa: E402

WIDTH = 0.125
SIZE_HW = (96, 128)
#: github.com/zhixuhao/unet on grey images, counted by Keras; as github.com/iamyb/mobileunet publishes it
GREY_PARAMETERS = 31_031_685
RGB_KERNELS = 2 * 64 * 3 * 3  # what the first convolution has more for two more channels
GOAL = 0.9999  # of two sides of one threshold in float32, but for ties


class Exported(NamedTuple):
    """A small net's graph, what back ends take of it, photographs (float32 NCHW) and PyTorch's masks of them."""

    whole: Any
    prepared: Prepared
    tensors: list[Any]
    masks: list[Any]


def test_u_net_has_as_many_parameters_as_its_well_known_keras_implementation() -> None:
    assert parameters(unet, in_channels=1) == GREY_PARAMETERS
    assert parameters(unet) == GREY_PARAMETERS + RGB_KERNELS


@pytest.mark.parametrize("num_classes", [3, 21])
def test_more_classes_widen_the_head_s_two_convolutions_alone(num_classes: int) -> None:
    def head(between: int, scores: int) -> int:
        return 64 * between * 9 + between + between * scores + scores

    assert parameters(unet, num_classes=num_classes) - parameters(unet) == head(num_classes, num_classes) - head(2, 1)


@pytest.mark.parametrize(("num_classes", "scores"), [(1, 1), (2, 1), (3, 3)])
def test_every_stage_has_the_shape_that_its_docstring_says(num_classes: int, scores: int) -> None:
    shapes = shapes_of(weightless(unet, num_classes=num_classes), (1, 3, 512, 512))
    channels = (64, 128, 256, 512, 1024)
    stages = [(1, one, 512 >> index, 512 >> index) for index, one in enumerate(channels)]
    assert [shapes[f"downs.{index}"] for index in range(5)] == stages
    assert [shapes[f"decoder.ups.{index}"] for index in range(4)] == stages[3::-1]
    assert [shapes[f"decoder.ups.{index}.match.1"] for index in range(4)] == stages[3::-1]
    assert shapes["head.0"] == (1, max(num_classes, 2), 512, 512)
    assert shapes["head"] == shapes[""] == (1, scores, 512, 512)


def test_the_2x2_convolution_of_a_doubled_map_looks_at_the_pixels_below_and_to_the_right() -> None:
    up = small(2).decoder.ups[0]
    with torch.no_grad():
        up.match[1].weight.fill_(1.0)
        up.match[1].bias.zero_()
        marked = torch.zeros(1, up.match[1].in_channels, 4, 4)
        marked[0, 0, 1, 1] = 1.0
        seen = up.match(marked)[0, 0]
    assert torch.nonzero(seen).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_the_skip_map_is_joined_in_front_of_the_upsampled_one() -> None:
    net, joined = small(2), []
    up = net.decoder.ups[-1]
    up.convs.register_forward_pre_hook(lambda _, given: joined.append(given[0]))
    coarse, skip = torch.rand(1, up.match[1].in_channels, 8, 8), torch.rand(1, up.match[1].out_channels, 16, 16)
    with torch.no_grad():
        up(coarse, skip)
    assert torch.equal(joined[0][:, : skip.shape[1]], skip)


def test_training_drops_half_of_the_two_coarsest_stages_and_nothing_else() -> None:
    net, made, taken = small(2).train(), [], []
    for down in net.downs:
        down.register_forward_hook(lambda _, __, output: made.append(output))
    net.decoder.register_forward_pre_hook(lambda _, given: taken.extend(given[0]))
    with torch.no_grad():
        net(torch.rand(1, 3, 128, 128))
    assert [torch.equal(one, other) for one, other in zip(made, taken, strict=True)] == [True] * 3 + [False] * 2
    for one, other in zip(made[3:], taken[3:], strict=True):
        kept = other[one > 0] != 0
        assert 0.45 < kept.float().mean() < 0.55
        assert torch.equal(other[one > 0][kept], 2 * one[one > 0][kept])


@pytest.mark.parametrize("num_classes", [2, 4])
def test_evaluation_ends_in_probabilities_of_the_logits_that_training_gives(num_classes: int) -> None:
    net, image = small(num_classes), torch.rand(1, 3, 32, 48)
    net.train()
    net.dropout.eval()
    with torch.no_grad():
        logits = net(image)
        probabilities = net.eval()(image)
    assert len(logits.unique()) > 1
    assert torch.equal(probabilities, logits.sigmoid() if num_classes == 2 else logits.softmax(1))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder, frames = tmp_path_factory.mktemp("unet"), photographs(SIZE_HW)
    net, _ = settled(BUILT_IN["unet"], {"width": WIDTH}, frames, SIZE_HW)
    result = export(net, BUILT_IN["unet"], SIZE_HW, frames[0], folder / "net.onnx")
    tensors = [Preprocessor(result.spec.input).tensor(frame) for frame in frames]
    with torch.inference_mode():
        masks = [(net(torch.from_numpy(one))[0, 0] > 0.5).numpy() for one in tensors]
    graph = read_graph(folder / "net.onnx")
    return Exported(graph.model, prepare(graph, result.spec.input, PrepareOptions()), tensors, masks)


def test_a_cut_sigmoid_is_a_threshold_at_zero_that_makes_pytorch_s_mask(exported: Exported, tmp_path: Path) -> None:
    head = exported.prepared.head
    ir.save(exported.prepared.model, tmp_path / "cut.onnx")
    assert (head.decision, head.scores, head.threshold, head.channels) == ("threshold", "logits", 0.0, 1)
    assert [one.split()[0] for one in head.cut] == ["Sigmoid"]
    for tensor, expected in zip(exported.tensors, exported.masks, strict=True):
        found = run_onnx(tmp_path / "cut.onnx", tensor)[0][0, 0] > head.threshold
        assert 0.02 < expected.mean() < 0.98  # both classes
        assert (found == expected).mean() >= GOAL


def test_no_dropout_is_exported_and_no_sigmoid_is_left_to_an_engine(exported: Exported) -> None:
    whole, left = (Counter(node.op_type for node in one.graph) for one in (exported.whole, exported.prepared.model))
    assert whole["Conv"] == 5 * 2 + 4 * 3 + 2
    assert whole["Sigmoid"] == 1
    assert not [name for name in whole if "Dropout" in name or "Random" in name]
    assert "Sigmoid" not in left


@pytest.mark.parametrize("size_hw", [(16, 16), (48, 80), (96, 32)])
def test_grey_images_of_any_multiple_of_16_have_as_many_probabilities_as_classes(size_hw: tuple[int, int]) -> None:
    net = unet(7, in_channels=1, width=WIDTH).eval()
    with torch.no_grad():
        found = net(torch.zeros(1, 1, *size_hw))
    assert found.shape == (1, 7, *size_hw)
    assert torch.allclose(found.sum(1), torch.ones(1, *size_hw))


def test_a_size_that_does_not_halve_four_times_is_refused() -> None:
    with pytest.raises(ModelError, match=r"UNet takes multiples of 16.*take width 96 or 112"):
        small(2)(torch.zeros(1, 3, 96, 100))


def small(num_classes: int) -> UNet:
    torch.manual_seed(1)
    return unet(num_classes, width=WIDTH)
