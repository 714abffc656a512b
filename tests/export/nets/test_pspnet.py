from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from published import RESNET, count, parameters, resnet_keys, shapes_of, weightless

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from torch.nn import functional  # noqa: E402

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.pspnet import PyramidPooling, pspnet  # noqa: E402
from edgeseg.export.onnx_export import ExportOptions, export_model  # noqa: E402
from edgeseg.graph.tail import find_tail  # noqa: E402
from edgeseg.imaging.palettes import labels_for  # noqa: E402
from edgeseg.packages import require  # noqa: E402
from edgeseg.spec import UpsampleSpec  # noqa: E402

#: torchvision's stated num_params of resnet50 and resnet101, less the classifier's 2048 x 1000 + 1000
BACKBONES = {"resnet50": 25_557_032 - 2_049_000, "resnet101": 44_549_160 - 2_049_000}
#: three 3x3 convolutions of 64, 64, 128 channels, their BatchNorm and a wider first bottleneck instead of one 7x7
DEEP_STEM = (3 * 64 + 64 * 64 + 64 * 128) * 9 + 2 * (64 + 64 + 128) - (3 * 64 * 49 + 2 * 64) + 64 * (64 + 256)
#: MMSegmentation's stem has 32, 32 and 64 channels; all of its BatchNorm, and without that of the 7x7
NARROW_STEM = (3 * 32 + 32 * 32 + 32 * 64) * 9 - 3 * 64 * 49
NARROW_STEM_NORMS = 2 * (32 + 32)
SIZE_HW = (49, 73)
SMALL = {"width": 0.125, "num_classes": 5}


def pyramid_and_head(classes: int) -> int:
    """Zhao et al., figure 3: 1x1 to 512 four times, 3x3 of 4096 to 512, 1x1 to the classes; no BatchNorm at the end."""
    return 4 * (2048 * 512 + 2 * 512) + 4096 * 512 * 9 + 2 * 512 + 512 * classes + classes


def auxiliary(classes: int) -> int:
    """3x3 of 1024 to 256, BatchNorm, 1x1."""
    return 1024 * 256 * 9 + 2 * 256 + 256 * classes + classes


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("deep_stem", [True, False])
def test_the_parameters_are_those_of_the_paper_s_layers(name: Any, deep_stem: bool) -> None:
    net = weightless(pspnet, backbone=name, deep_stem=deep_stem)
    expected = BACKBONES[name] + (DEEP_STEM if deep_stem else 0) + pyramid_and_head(150)
    assert count(net) - count(net.auxiliary) == expected
    assert count(net.auxiliary) == auxiliary(150)


def test_the_parameters_are_the_46_5827_million_of_open_model_zoo_s_pspnet() -> None:
    """OpenVINO's Open Model Zoo, pspnet-pytorch: MMSegmentation's, 21 classes, without auxiliary head.

    It counts the converted graph: BatchNorm is a bias, and the image's means and deviations are six more.
    """
    net = weightless(pspnet, num_classes=21, deep_stem=False)
    del net.auxiliary
    norms = sum(count(one) for one in net.modules() if isinstance(one, torch.nn.BatchNorm2d)) + NARROW_STEM_NORMS
    assert round((count(net) + NARROW_STEM + NARROW_STEM_NORMS - norms // 2 + 6) / 1e6, 4) == 46.5827


def test_the_parameters_are_the_68_1_million_that_segformer_s_paper_lists() -> None:
    """Xie et al. 2021, table 2: MMSegmentation's PSPNet on ResNet-101 for ADE20K, with its auxiliary head."""
    held = parameters(pspnet, backbone="resnet101", deep_stem=False)
    assert round((held + NARROW_STEM + NARROW_STEM_NORMS) / 1e6, 1) == 68.1


def test_every_stage_has_the_shape_that_the_docstring_gives() -> None:
    shapes = shapes_of(weightless(pspnet), (1, 3, 473, 473))
    names = ["backbone.conv1", *(f"backbone.layer{index}" for index in range(1, 5)), "pyramid", "head"]
    assert shapes[""] == (1, 150, 473, 473)
    assert [shapes[name][1:] for name in names] == [
        (128, 237, 237),
        (256, 119, 119),
        (512, 60, 60),
        (1024, 60, 60),
        (2048, 60, 60),
        (4096, 60, 60),
        (150, 60, 60),
    ]


def test_the_last_two_layers_dilate_by_2_and_4_from_their_first_block_on() -> None:
    net = weightless(pspnet)
    for index, dilation in ((3, 2), (4, 4)):
        blocks = net.get_submodule(f"backbone.layer{index}")
        assert {one.conv2.dilation for one in blocks} == {(dilation, dilation)}
        assert {one.conv2.stride for one in blocks} == {(1, 1)}


def test_a_pyramid_s_levels_are_the_enlarged_means_of_its_cells() -> None:
    """With convolutions that pass a quarter of the channels, and a BatchNorm that changes nothing."""
    pyramid = PyramidPooling(8, align_corners=True).eval()
    for _, layers in pyramid.levels:
        layers[0].weight.data.copy_(torch.eye(8)[:2, :, None, None])
        layers[1].eps = 0.0
    x = torch.rand(1, 8, 12, 18)
    cells = [x[:, :2].reshape(1, 2, bins, 12 // bins, bins, 18 // bins).mean(dim=(3, 5)) for bins in (1, 2, 3, 6)]
    levels = [functional.interpolate(one, (12, 18), mode="bilinear", align_corners=True) for one in cells]
    torch.testing.assert_close(pyramid(x), torch.cat([x, *levels], 1))


def test_only_training_computes_the_auxiliary_head() -> None:
    net, image = pspnet(**SMALL), torch.rand(2, 3, 49, 57)
    calls: list[str] = []
    net.auxiliary.register_forward_hook(lambda *_: calls.append("auxiliary"))
    main, auxiliary_scores = net(image)
    assert main.shape == auxiliary_scores.shape == (2, 5, 49, 57)
    assert calls == ["auxiliary"]
    (main.sum() + auxiliary_scores.sum()).backward()
    assert all(one.grad is not None for one in net.parameters())
    assert net.eval()(image).shape == (2, 5, 49, 57)
    assert calls == ["auxiliary"]


class Exported(NamedTuple):
    """A net, and what was written of it for images of ``SIZE_HW``, whose maps no grid divides."""

    net: Any
    path: Path


@pytest.fixture(scope="module", params=[True, False])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    net, path = pspnet(**SMALL, align_corners=request.param), tmp_path_factory.mktemp("pspnet") / "net.onnx"
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    export_model(net, path, ExportOptions(size_hw=SIZE_HW), labels=labels_for, sample_bgr=frame)
    return Exported(net, path)


def test_the_exported_graph_ends_by_enlarging_what_the_runtime_enlarges_too(exported: Exported) -> None:
    head = find_tail(require("onnx_ir").load(exported.path)).head
    assert (head.size_hw, head.uncut_hw) == ((7, 10), SIZE_HW)
    assert head.upsample == UpsampleSpec(coordinates="align_corners" if exported.net.align_corners else "half_pixel")


def test_the_exported_graph_has_no_auxiliary_head(exported: Exported) -> None:
    weights = [onnx.numpy_helper.to_array(one) for one in onnx.load(exported.path).graph.initializer]
    head, auxiliary_head = exported.net.head, exported.net.auxiliary
    assert any(np.array_equal(one, head[2].weight.detach()) for one in weights)
    assert not any(np.array_equal(one, auxiliary_head[2].weight.detach()) for one in weights)
    assert auxiliary_head[0][0].weight.shape not in {one.shape for one in weights}


def test_torchvision_s_resnet_loads_into_the_backbone_and_counts() -> None:
    torch.manual_seed(0)
    net, image = pspnet(**SMALL, deep_stem=False).eval(), torch.rand(1, 3, 49, 57)
    before, shapes = net(image), {name: one.shape for name, one in net.backbone.state_dict().items()}
    keys = [*resnet_keys(RESNET["resnet50"]), "fc.weight", "fc.bias"]
    published = {key: torch.rand(shapes.get(key, (1,))) for key in keys}
    kept = net.backbone.load_state_dict(published, strict=False)
    assert (kept.missing_keys, sorted(kept.unexpected_keys)) == ([], ["fc.bias", "fc.weight"])
    assert not torch.allclose(net(image), before)


def test_grey_images_and_any_count_of_classes_are_taken() -> None:
    net = pspnet(1, in_channels=1, width=0.125).eval()
    assert net(torch.rand(1, 1, 41, 50)).shape == (1, 1, 41, 50)


@pytest.mark.parametrize("size_hw", [(41, 41), (64, 99), (97, 129)])
def test_every_size_from_41_on_works(size_hw: tuple[int, int]) -> None:
    assert pspnet(**SMALL).eval()(torch.rand(1, 3, *size_hw)).shape == (1, 5, *size_hw)


def test_maps_with_fewer_rows_than_the_finest_grid_are_refused() -> None:
    with pytest.raises(ModelError, match="from 41 on, and not 40x64"):
        pspnet(**SMALL).eval()(torch.rand(1, 3, 40, 64))


def test_a_backbone_that_is_no_resnet_is_refused() -> None:
    with pytest.raises(ModelError, match="resnet50"):
        pspnet(backbone="vgg16")  # type: ignore[arg-type]
