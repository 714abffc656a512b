"""A classifier's published weights go into a net's backbone as they are; what cannot is refused with what to do.

Keys are torchvision's, written out in published.py; shapes are those of narrow nets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from published import RESNET, VGG, mobilenet_v2_keys, resnet_keys, vgg_keys

import edgeseg
from edgeseg.errors import ModelError

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from edgeseg.export.backbones import load_backbone, load_whole  # noqa: E402
from edgeseg.export.factories import Loaded  # noqa: E402
from edgeseg.export.nets.base import SegmentationNet  # noqa: E402
from edgeseg.export.nets.fcn import ConvolutionalVgg  # noqa: E402
from edgeseg.export.nets.mobilenet_v2 import MobileNetV2  # noqa: E402
from edgeseg.export.nets.resnet import ResNet  # noqa: E402
from edgeseg.export.nets.vgg import Vgg  # noqa: E402

WIDTH = 0.125
State = dict[str, Any]


class Net(SegmentationNet):
    """A backbone and a head."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = torch.nn.Conv2d(8, 3, 1)


class Whole(SegmentationNet):
    """A built-in net without a backbone."""


class Pyramid(torch.nn.Module):
    """A backbone within a pyramid, as Mask R-CNN's."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body
        self.fpn = torch.nn.Conv2d(8, 8, 1)


class Users(torch.nn.Module):
    """A user's own net, with something of the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet()


def resnet(name: Any = "resnet50", *, in_channels: int = 3, width: float = WIDTH, **options: Any) -> Any:
    return ResNet(name, in_channels=in_channels, width=width, **options)


def vgg(name: Any = "vgg16", *, norm: bool = False, in_channels: int = 3) -> Any:
    return Vgg(name, in_channels=in_channels, width=WIDTH, norm=norm)


def published(backbone: Any, keys: Sequence[str]) -> State:
    """Numbers under a file's own keys, in their order, in the shapes that the backbone has in that order."""
    made = backbone.state_dict()
    assert len(made) == len(keys)
    torch.manual_seed(1)
    numbers = (torch.rand(one.shape) if one.is_floating_point() else torch.tensor(7) for one in made.values())
    return dict(zip(keys, numbers, strict=True))


FC = {"fc.weight": torch.zeros(1000, 256), "fc.bias": torch.zeros(1000)}
CLASSIFIER = {
    f"classifier.{number}.{name}": torch.zeros(shape)
    for number, inner in ((0, (512, 3136)), (3, (512, 512)), (6, (1000, 512)))
    for name, shape in (("weight", inner), ("bias", inner[:1]))
}
MOBILENETS_LAST = {
    "features.18.0.weight": torch.zeros(160, 40, 1, 1),
    "features.18.1.bias": torch.zeros(160),
    "classifier.1.weight": torch.zeros(1000, 160),
    "classifier.1.bias": torch.zeros(1000),
}
CASES: dict[str, tuple[Callable[[], Any], list[str], State]] = {
    "resnet50": (resnet, [*resnet_keys(RESNET["resnet50"])], FC),
    "resnet101": (lambda: resnet("resnet101"), [*resnet_keys(RESNET["resnet101"])], FC),
    "resnet152": (lambda: resnet("resnet152"), [*resnet_keys(RESNET["resnet152"])], FC),
    "vgg16": (vgg, [*vgg_keys(VGG["vgg16"])], CLASSIFIER),
    "vgg16_bn": (lambda: vgg(norm=True), [*vgg_keys(VGG["vgg16"], norm=True)], CLASSIFIER),
    "vgg19": (lambda: vgg("vgg19"), [*vgg_keys(VGG["vgg19"])], CLASSIFIER),
    "mobilenet_v2": (
        lambda: MobileNetV2(in_channels=3, width=WIDTH),
        [*mobilenet_v2_keys()],
        MOBILENETS_LAST,
    ),
}


@pytest.fixture
def save(tmp_path: Path) -> Callable[[object], Path]:
    def call(content: object) -> Path:
        torch.save(content, tmp_path / "published.pth")
        return tmp_path / "published.pth"

    return call


def resnet_file() -> State:
    return published(resnet(), [*resnet_keys(RESNET["resnet50"])]) | FC


def has(backbone: Any, weights: State) -> bool:
    made = backbone.state_dict()
    return all(torch.equal(made[key], one) for key, one in weights.items())


@pytest.mark.parametrize("name", CASES)
def test_a_published_layout_is_loaded_as_it_is_and_the_classifier_is_left_out_with_a_note(name: str, save: Any) -> None:
    make, keys, classifier = CASES[name]
    net = Net(make())
    weights = published(net.backbone, keys)
    head = net.head.weight.clone()
    (note,) = load_backbone(net, save(weights | classifier))
    assert has(net.backbone, weights)
    assert torch.equal(net.head.weight, head)
    assert note.startswith(f"left out, as the backbone ends before them: {min(classifier)}")


def test_a_file_without_a_classifier_says_nothing(save: Any) -> None:
    weights = published(resnet(), [*resnet_keys(RESNET["resnet50"])])
    assert load_backbone(Net(resnet()), save(weights)) == ()


def test_safetensors_and_a_path_as_text_are_taken(tmp_path: Path) -> None:
    weights, net = resnet_file(), Net(resnet())
    safetensors_torch.save_file(weights, tmp_path / "published.safetensors")
    load_backbone(net, str(tmp_path / "published.safetensors"))
    assert torch.equal(net.backbone.conv1.weight, weights["conv1.weight"])


@pytest.mark.parametrize("prefix", ["module.", "model.", "backbone.", "backbone.body."])
def test_weights_behind_a_prefix_or_in_a_wrapper_are_found(prefix: str, save: Any) -> None:
    weights, net = published(resnet(), [*resnet_keys(RESNET["resnet50"])]), Net(resnet())
    load_backbone(net, save({"state_dict": {prefix + key: one for key, one in weights.items()}}))
    assert has(net.backbone, weights)


def test_averaged_weights_come_first_unless_the_others_are_asked_for(save: Any) -> None:
    plain = published(resnet(), [*resnet_keys(RESNET["resnet50"])])
    averaged = {key: one * 2 if one.is_floating_point() else one for key, one in plain.items()}
    path, net = save({"model": plain, "model_ema": averaged}), Net(resnet())
    assert any("model_ema" in note for note in load_backbone(net, path))
    assert has(net.backbone, averaged)
    load_backbone(net, path, weights_key="model")
    assert has(net.backbone, plain)


def test_fully_connected_layers_become_the_convolutions_that_compute_the_same(save: Any) -> None:
    backbone = ConvolutionalVgg("vgg16", in_channels=3, width=WIDTH)
    channels, inner = backbone.features[28].out_channels, backbone.classifier[0].out_channels
    weights = published(vgg(), [*vgg_keys(VGG["vgg16"])])
    torch.manual_seed(2)
    weights |= {"classifier.0.weight": torch.rand(inner, channels * 49), "classifier.0.bias": torch.rand(inner)}
    weights |= {"classifier.3.weight": torch.rand(inner, inner), "classifier.3.bias": torch.rand(inner)}
    (note,) = load_backbone(Net(backbone), save(weights | {"classifier.6.weight": torch.zeros(1000, inner)}))
    assert note.endswith(": classifier.6.weight")
    pooled = torch.rand(1, channels, 7, 7)
    for number in (0, 3):
        weight, bias = weights[f"classifier.{number}.weight"], weights[f"classifier.{number}.bias"]
        taken = pooled if number == 0 else pooled.new_ones(1, inner, 1, 1)
        made = torch.nn.functional.conv2d(taken, backbone.classifier[number].weight, backbone.classifier[number].bias)
        torch.testing.assert_close(made.flatten(1), torch.nn.functional.linear(taken.flatten(1), weight, bias))


@pytest.mark.parametrize(
    ("make", "keys", "first"),
    [
        (lambda: resnet(in_channels=1), [*resnet_keys(RESNET["resnet50"])], "conv1.weight"),
        (lambda: vgg(in_channels=1), [*vgg_keys(VGG["vgg16"])], "features.0.weight"),
        (lambda: MobileNetV2(in_channels=1, width=WIDTH), [*mobilenet_v2_keys()], "features.0.0.weight"),
    ],
)
def test_a_grey_net_sees_of_a_grey_image_what_the_file_s_net_sees(
    make: Any, keys: list[str], first: str, save: Any
) -> None:
    net = Net(make())
    weights = published(net.backbone, keys)
    outputs, _, *kernel = weights[first].shape
    weights[first] = torch.rand(outputs, 3, *kernel)
    (note,) = load_backbone(net, save(weights))
    assert note == f"the image is grey: {first} is summed over the colours"
    grey = torch.rand(1, 1, 16, 16)
    made = torch.nn.functional.conv2d(grey, net.backbone.state_dict()[first])
    torch.testing.assert_close(made, torch.nn.functional.conv2d(grey.expand(1, 3, 16, 16), weights[first]))


def test_of_a_pyramid_the_body_is_loaded(save: Any) -> None:
    net = Net(Pyramid(resnet()))
    weights = resnet_file()
    load_backbone(net, save(weights))
    assert torch.equal(net.backbone.body.conv1.weight, weights["conv1.weight"])


def refusal(net: Any, path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_backbone(net, path)
    return str(caught.value)


def test_a_narrower_net_is_refused_with_the_width_as_the_cause(save: Any) -> None:
    said = refusal(Net(resnet(width=2 * WIDTH)), save(resnet_file()))
    assert "conv1.weight is (8, 3, 7, 7) in the file and (16, 3, 7, 7) in the net" in said
    assert said.endswith("published weights have the published width: leave --arg width out")


def test_a_stem_of_three_convolutions_is_refused_with_the_argument_that_gives_one(save: Any) -> None:
    said = refusal(Net(resnet(deep_stem=True)), save(resnet_file()))
    assert "conv1.0.weight" in said
    assert said.endswith("make the net with --arg deep_stem=False")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: resnet("resnet101"), "255 of the net's tensors are missing: layer3.6.conv1.weight"),
        (vgg, "26 of the net's tensors are missing: features.0.weight"),
        (lambda: resnet(in_channels=4), "conv1.weight is (8, 3, 7, 7) in the file and (8, 4, 7, 7) in the net"),
    ],
)
def test_another_classifier_s_weights_are_refused(make: Callable[[], Any], told: str, save: Any) -> None:
    said = refusal(Net(make()), save(resnet_file()))
    assert told in said
    assert said.endswith("make the net as it was trained (--arg)")
    assert "fc." not in said


def test_vgg19_s_weights_are_refused_by_vgg16(save: Any) -> None:
    weights = published(vgg("vgg19"), [*vgg_keys(VGG["vgg19"])])
    assert "are not in the net: features.16.weight" in refusal(Net(vgg()), save(weights))


def test_quantised_weights_are_refused(save: Any) -> None:
    weights = resnet_file()
    weights["conv1.weight"] = weights["conv1.weight"].to(torch.int8)
    assert "is quantised: conv1.weight is int8" in refusal(Net(resnet()), save(weights))


def test_a_file_of_no_weights_is_refused(save: Any, tmp_path: Path) -> None:
    assert "holds no state dict" in refusal(Net(resnet()), save({"epoch": 3}))
    assert "cannot be read" in refusal(Net(resnet()), tmp_path / "none.pth")


def test_a_net_without_a_backbone_is_refused(save: Any) -> None:
    said = refusal(Whole(), save(resnet_file()))
    assert said.startswith("Whole has no backbone to load ")
    assert said.endswith("leave it out: this net is trained as a whole")


def test_a_user_s_own_net_is_refused_whatever_it_calls_its_parts(save: Any) -> None:
    said = refusal(Users(), save(resnet_file()))
    assert "the backbone of Users, which is no built-in net" in said
    assert "--checkpoint" in said


def whole_refusal(net: Any, path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_whole(Loaded(net=net, class_argument="num_classes"), path)
    return str(caught.value)


def test_a_classifier_s_file_in_the_whole_net_s_place_is_refused_with_where_it_belongs(save: Any) -> None:
    said = whole_refusal(Net(resnet()), save({"state_dict": resnet_file()}))
    assert said.endswith("these are weights of its backbone alone: give them with --backbone-checkpoint")


@pytest.mark.parametrize("net", [Net(vgg()), Whole(), Users()])
def test_a_classifier_s_file_is_not_said_to_be_of_a_backbone_that_it_does_not_fit(net: Any, save: Any) -> None:
    assert "--backbone-checkpoint" not in whole_refusal(net, save(resnet_file()))


def test_a_whole_net_s_file_that_misses_a_tensor_is_not_said_to_be_a_backbone_s(save: Any) -> None:
    weights = Net(resnet()).state_dict()
    del weights["head.bias"]
    said = whole_refusal(Net(resnet()), save(weights))
    assert "head.bias" in said
    assert "--backbone-checkpoint" not in said


def test_it_is_offered_at_the_top() -> None:
    assert edgeseg.load_backbone is load_backbone
