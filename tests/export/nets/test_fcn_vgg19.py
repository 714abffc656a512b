"""FCN-8s on VGG19 with average pooling: what its text prescribes, its sizes, its ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from published import VGG, assert_names_load_into_the_backbone, parameters, shapes_of, vgg_keys, weightless

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.catalogue import BUILT_IN  # noqa: E402
from edgeseg.export.nets.fcn_vgg19 import fcn8s_vgg19  # noqa: E402

nn = torch.nn

WIDTH = 0.125
ODD_HW = (71, 89)  # odd in front of every pooling but two
GOAL = 0.999
#: nobody published a count: the layers of the text, weights and biases, by plain arithmetic
CLASSES = 151
BACKBONE = 143_667_240 - 4097 * 1000  # torchvision's documentation, num_params of vgg19, without its 1000 classes
SCORE = 4096 * CLASSES + CLASSES
DECONVOLUTIONS = (CLASSES * 512 * 16 + 512) + (512 * 256 * 16 + 256) + (256 * CLASSES * 256 + CLASSES)


def test_fcn8s_vgg19_has_the_parameters_of_its_text() -> None:
    assert parameters(fcn8s_vgg19) == BACKBONE + SCORE + DECONVOLUTIONS


def test_every_stage_has_the_shape_that_its_docstring_says() -> None:
    shapes = shapes_of(weightless(fcn8s_vgg19), (1, 3, 224, 224))
    assert [shapes[f"backbone.features.{index}"] for index in (4, 9, 18, 27, 36)] == [
        (1, 64, 112, 112),
        (1, 128, 56, 56),
        (1, 256, 28, 28),
        (1, 512, 14, 14),
        (1, 512, 7, 7),
    ]
    assert shapes["backbone.classifier.0"] == shapes["backbone.classifier.3"] == (1, 4096, 7, 7)
    assert shapes["score"] == (1, 151, 7, 7)
    assert shapes["up_to_fourth"] == (1, 512, 14, 14)
    assert shapes["up_to_third"] == (1, 256, 28, 28)
    assert shapes["up_to_image"] == (1, 151, 224, 224)
    assert shapes[""] == (1, 224, 224)


def test_the_last_pooling_takes_the_maximum_and_the_others_average() -> None:
    poolings = [
        one for one in weightless(fcn8s_vgg19).backbone.features if isinstance(one, (nn.AvgPool2d, nn.MaxPool2d))
    ]
    assert [type(one) for one in poolings] == [nn.AvgPool2d] * 4 + [nn.MaxPool2d]


def test_an_odd_side_s_end_is_the_average_of_the_pixels_that_there_are() -> None:
    pooling = fcn8s_vgg19(5, width=WIDTH).backbone.features[4]
    assert torch.equal(pooling(torch.tensor([[[[1.0, 3.0, 5.0]] * 3]])), torch.tensor([[[[2.0, 5.0]] * 2]]))


def test_conv6_is_7x7_and_conv7_1x1_of_4096_channels() -> None:
    weights = weightless(fcn8s_vgg19).backbone.classifier.state_dict()
    assert weights["0.weight"].shape == (4096, 512, 7, 7)
    assert weights["3.weight"].shape == (4096, 4096, 1, 1)


def test_deconvolutions_are_4x4_twice_and_16x16_and_begin_as_bilinear() -> None:
    net = fcn8s_vgg19(5, width=WIDTH)
    ups = [net.up_to_fourth, net.up_to_third, net.up_to_image]
    assert [(up.kernel_size, up.stride) for up in ups] == [((4, 4), (2, 2)), ((4, 4), (2, 2)), ((16, 16), (8, 8))]
    for up in ups:
        begun = torch.ones(1, up.in_channels, 4, 4)
        middle = up(begun)[:, :, up.stride[0] : -up.stride[0], up.stride[1] : -up.stride[1]]
        assert torch.allclose(middle, torch.ones_like(middle))  # a bilinear kernel keeps what is flat


def test_stages_four_and_three_are_added_to_what_is_enlarged() -> None:
    net = fcn8s_vgg19(5, width=WIDTH).eval()
    image = torch.rand(1, 3, 64, 64)
    for up in (net.up_to_fourth, net.up_to_third):  # nothing comes from below
        nn.init.zeros_(up.weight)
    nn.init.ones_(net.up_to_fourth.bias)  # would come through stage four's place
    with torch.no_grad():
        third = net.backbone(image)[2]
        assert torch.equal(net.scores(image), net.up_to_image(third))
        nn.init.ones_(net.up_to_third.weight)
        assert not torch.equal(net.scores(image), net.up_to_image(third))


@pytest.mark.parametrize("size_hw", [(32, 32), (33, 61), (224, 224), (225, 250)])
def test_an_image_of_any_size_becomes_class_ids_of_that_size(size_hw: tuple[int, int]) -> None:
    net = fcn8s_vgg19(7, in_channels=1, width=WIDTH).eval()
    ids = net(torch.rand(1, 1, *size_hw))
    assert (ids.shape, ids.dtype) == ((1, *size_hw), torch.int64)
    assert 0 <= ids.min() <= ids.max() < 7


def test_an_image_below_32_pixels_is_refused() -> None:
    with pytest.raises(ModelError, match="from 32 on, and not 64x31"):
        fcn8s_vgg19(width=WIDTH)(torch.zeros(1, 3, 64, 31))


def test_one_class_ends_in_a_probability_for_it_has_no_maximum() -> None:
    made = fcn8s_vgg19(1, width=WIDTH).eval()(torch.rand(1, 3, 32, 32))
    assert (made.shape, made.dtype) == ((1, 1, 32, 32), torch.float32)
    assert ((made > 0) & (made < 1)).all()


def test_pictures_are_rgb_less_vgg_s_means_and_not_divided() -> None:
    image = BUILT_IN["fcn8s-vgg19"].frame.input_spec(name="image", size_hw=(224, 224))
    assert image.colour == "RGB"
    assert [mean * 255 for mean in image.mean] == pytest.approx([123.68, 116.779, 103.939])
    assert [deviation * 255 for deviation in image.std] == pytest.approx([1, 1, 1])


def test_torchvision_s_key_names_load_into_the_backbone() -> None:
    names = [*vgg_keys(VGG["vgg19"], fully_connected=True)]
    assert_names_load_into_the_backbone(fcn8s_vgg19(5, width=WIDTH), names)


def test_the_engine_of_an_odd_size_has_pytorch_s_mask(tmp_path: Path) -> None:
    for package in ("openvino", "skimage"):
        pytest.importorskip(package)
    import net_lab

    from edgeseg.metrics import agreement

    built_in = BUILT_IN["fcn8s-vgg19"]
    frames = net_lab.photographs(ODD_HW)[:2]
    net, expected = net_lab.settled(built_in, {"width": WIDTH, "num_classes": 5}, frames, ODD_HW)
    net_lab.export(net, built_in, ODD_HW, frames[0], tmp_path / "net.onnx")
    net_lab.build(tmp_path / "net.onnx", "openvino", "fp32")
    masks = net_lab.masks_of(net_lab.engine_path(tmp_path / "net.onnx", "openvino", "fp32"), frames)
    assert min(map(agreement, masks, expected)) >= GOAL
