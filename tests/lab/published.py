"""Own what tests compare nets with: torchvision's key names, counts and shapes at published width. Make no net.

Key names are written out here, in a state dict's order, and never asked of our own nets. torch is imported late, for
doctests are looked for in this module too where torch is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

#: convolutions between poolings; Simonyan and Zisserman, table 1
VGG = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
#: bottlenecks of the four layers; He et al., table 1
RESNET = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}


def vgg_keys(convolutions: Sequence[int], *, norm: bool = False, fully_connected: bool = False) -> Iterator[str]:
    """Of torchvision's VGGs; ``fully_connected``, with all of the classifier but its layer of 1000 classes."""
    index = 0
    for count_of_stage in convolutions:
        for _ in range(count_of_stage):
            yield from (f"features.{index}.weight", f"features.{index}.bias")
            if norm:
                yield from norm_keys(f"features.{index + 1}")
            index += 3 if norm else 2  # its BatchNorm and ReLU
        index += 1  # the pooling
    if fully_connected:
        yield from (f"classifier.{layer}.{what}" for layer in (0, 3) for what in ("weight", "bias"))


def resnet_keys(blocks: Sequence[int]) -> Iterator[str]:
    """Of torchvision's ResNets with bottlenecks, without fc."""
    yield from layer_keys("conv1", "bn1")
    for layer, count_of_layer in enumerate(blocks, start=1):
        for block in range(count_of_layer):
            home = f"layer{layer}.{block}"
            for index in (1, 2, 3):
                yield from layer_keys(f"{home}.conv{index}", f"{home}.bn{index}")
            if block == 0:
                yield from layer_keys(f"{home}.downsample.0", f"{home}.downsample.1")


def mobilenet_v2_keys() -> Iterator[str]:
    """Of torchvision's mobilenet_v2, up to the last of its 17 blocks (Sandler et al., table 2)."""
    yield from layer_keys("features.0.0", "features.0.1")
    for block in range(1, 18):
        home, layers = f"features.{block}.conv", 1 if block == 1 else 2  # the first block does not widen
        for index in range(layers):
            yield from layer_keys(f"{home}.{index}.0", f"{home}.{index}.1")
        yield from layer_keys(f"{home}.{layers}", f"{home}.{layers + 1}")


def layer_keys(convolution: str, norm: str) -> Iterator[str]:
    """A convolution's without bias, and its BatchNorm's."""
    yield f"{convolution}.weight"
    yield from norm_keys(norm)


def norm_keys(norm: str) -> Iterator[str]:
    """A BatchNorm's."""
    yield from (f"{norm}.{one}" for one in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"))


def assert_names_load_into_the_backbone(net: Any, names: Sequence[str]) -> None:
    """The backbone's state dict has just these names in this order, and what is loaded by them changes the scores."""
    import torch

    own, image = net.backbone.state_dict(), torch.rand(1, 3, 64, 64)
    assert list(own) == list(names)
    with torch.no_grad():
        before = net.eval().scores(image)
        net.backbone.load_state_dict({name: shifted(own[name]) for name in names})
        assert not torch.allclose(before, net.scores(image))


def shifted(tensor: Any) -> Any:
    """Other weights, that keep signals finite and variances positive."""
    import torch

    return tensor + 0.01 * torch.rand(tensor.shape)


def weightless(factory: Callable[..., Any], **arguments: Any) -> Any:
    """A net at published width, without memory for it, in evaluation mode."""
    import torch

    with torch.device("meta"):
        return factory(**arguments).eval()


def parameters(factory: Callable[..., Any], **arguments: Any) -> int:
    """At published width."""
    return count(weightless(factory, **arguments))


def count(module: Any) -> int:
    """As published counts are: without BatchNorm's statistics."""
    return sum(one.numel() for one in module.parameters())


def shapes_of(net: Any, image_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """What every module of a weightless net that gives one tensor gives at its last call; the net under no name."""
    import torch

    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, made: Any) -> None:
        if isinstance(made, torch.Tensor):
            shapes[name] = tuple(made.shape)

    for name, module in net.named_modules():
        module.register_forward_hook(lambda _, __, made, name=name: note(name, made))
    with torch.device("meta"):
        net(torch.empty(image_shape))
    return shapes
