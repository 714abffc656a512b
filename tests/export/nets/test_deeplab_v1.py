"""DeepLab V1: its size, its stages, what it dilates, and its CRF."""

from __future__ import annotations

from typing import Any

import pytest
from published import VGG, assert_names_load_into_the_backbone, parameters, shapes_of, vgg_keys, weightless

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.deeplab_v1 import deeplab_v1, deeplab_v1_crf  # noqa: E402

WIDTH = 0.125
TOLERANCE = 1e-5  # float32, another order of additions
FACTORIES = [deeplab_v1, deeplab_v1_crf]
#: of VGG16's thirteen convolutions; Simonyan and Zisserman, table 1
CONVOLUTIONS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


@pytest.mark.parametrize("factory", FACTORIES)
def test_deeplab_v1_has_the_20_5_million_parameters_of_the_paper_s_table(factory: Any) -> None:
    # Chen et al., table 2: DeepLab-CRF-LargeFOV, kernel 3x3, input stride 12, 20.5 M
    assert round(parameters(factory) / 1e6, 1) == 20.5


def test_deeplab_v1_has_vgg_s_convolutions_and_three_more() -> None:
    vgg = sum(9 * one * other + other for one, other in zip([3, *CONVOLUTIONS], CONVOLUTIONS, strict=False))
    head = (9 * 512 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 21 + 21)
    assert parameters(deeplab_v1) == vgg + head


def test_every_stage_has_the_shape_that_its_docstring_says() -> None:
    shapes = shapes_of(weightless(deeplab_v1_crf), (1, 3, 513, 513))
    pooled = [shapes[f"backbone.features.{index}"] for index in (4, 9, 16, 23, 30)]
    assert pooled[:3] == [(1, 64, 257, 257), (1, 128, 129, 129), (1, 256, 65, 65)]
    assert pooled[3:] == [(1, 512, 65, 65), (1, 512, 65, 65)]
    assert shapes["pool"] == (1, 512, 65, 65)
    assert shapes["head.0"] == shapes["head.3"] == (1, 1024, 65, 65)
    assert shapes["head"] == shapes["crf"] == (1, 21, 65, 65)
    assert shapes[""] == (1, 21, 513, 513)


def test_pooling_is_3x3_and_strides_three_times() -> None:
    layers = [one for one in deeplab_v1(width=WIDTH).backbone.features if isinstance(one, torch.nn.MaxPool2d)]
    assert [(one.kernel_size, one.stride, one.padding) for one in layers] == [(3, 2, 1)] * 3 + [(3, 1, 1)] * 2


def test_the_last_three_convolutions_dilate_by_2_and_fc6_by_12() -> None:
    net = deeplab_v1(width=WIDTH)
    layers = [one for one in net.modules() if isinstance(one, torch.nn.Conv2d) and one.kernel_size == (3, 3)]
    assert [one.dilation[0] for one in layers] == [1] * 10 + [2] * 3 + [12]


def test_scores_are_centred_on_every_eighth_pixel() -> None:
    """Kernels that are their own mirror images give a mirrored image the mirrored scores, if nothing is off-centre."""
    net, image = deeplab_v1_crf(5, width=WIDTH).eval(), torch.rand(1, 3, 57, 73)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() == 4:
                weight.copy_(weight.mean((2, 3), keepdim=True).expand_as(weight))
        assert torch.allclose(net(image.flip(2, 3)), net(image).flip(2, 3), atol=TOLERANCE)


def test_torchvision_s_key_names_load_into_the_backbone() -> None:
    assert_names_load_into_the_backbone(deeplab_v1(5, width=WIDTH), [*vgg_keys(VGG["vgg16"])])


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("size_hw", [(1, 1), (9, 8), (33, 47), (64, 96)])
def test_grey_images_of_any_size_have_as_many_scores_as_classes(factory: Any, size_hw: tuple[int, int]) -> None:
    net = factory(7, in_channels=1, width=WIDTH).eval()
    assert net(torch.zeros(1, 1, *size_hw)).shape == (1, 7, *size_hw)


def test_the_crf_refines_the_scores_before_they_are_enlarged() -> None:
    plain, refining = deeplab_v1(5, width=WIDTH).eval(), deeplab_v1(5, width=WIDTH, crf=True).eval()
    refining.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        logits = plain.head(plain.pool(plain.backbone(image)[-1]))
        expected = torch.nn.functional.interpolate(refining.crf(logits, image), size=(64, 96), mode="bilinear")
        found = refining(image)
        assert torch.allclose(found, expected, atol=TOLERANCE)
        assert not torch.allclose(found, plain(image), atol=0.1)


def test_in_training_mode_the_crf_is_left_out() -> None:
    net = deeplab_v1_crf(5, width=WIDTH)
    net.crf.register_forward_hook(lambda *_: pytest.fail("the CRF was called"))
    assert net.train()(torch.rand(2, 3, 33, 33)).shape == (2, 5, 33, 33)


def test_the_named_factory_is_the_one_with_a_crf() -> None:
    with torch.device("meta"):
        assert deeplab_v1().crf is None
        assert deeplab_v1(crf=True).crf.window == 7
        assert deeplab_v1_crf(crf_window=11).crf.window == 11


def test_the_crf_s_deviations_are_the_authors_in_scores() -> None:
    # DeepLab-LargeFOV's page: bi_w = 4, bi_xy_std = 121, bi_rgb_std = 5, pos_w = 3, pos_xy_std = 3
    assert deeplab_v1_crf(width=WIDTH).crf.pairwise.tolist() == pytest.approx([4, 121 / 8, 5, 3, 3 / 8])


def test_no_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="num_classes is 0"):
        deeplab_v1(0)
