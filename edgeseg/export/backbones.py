"""Own the loading of a classifier's published weights into a built-in net's backbone. Load no whole net."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.errors import ModelError
from edgeseg.export.checkpoints import COUNTER, load_checkpoint
from edgeseg.export.misfits import AS_TRAINED, Misfit, misfit_error, some
from edgeseg.export.places import Table, places_of, tables_in
from edgeseg.export.weight_files import read_weights
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from edgeseg.export.factories import Loaded

__all__ = ["load_backbone", "load_whole"]

#: what torchvision calls the layers that tell its classes apart: ResNet's, and VGG's and MobileNet's
CLASSIFIERS = ("fc", "classifier")
FEATURES = "features"  # the layers of VGG and MobileNet, numbered
PUBLISHED_WIDTH = "published weights have the published width: leave --arg width out"
ONE_STEM = "published weights have one 7x7 convolution there: make the net with --arg deep_stem=False"


def load_backbone(
    net: nn.Module | ExportedProgram, path: Path | str, *, weights_key: str | None = None
) -> tuple[str, ...]:
    """Load a classifier's published weights into the ``backbone`` of a built-in net, to train it from there.

    torchvision's files of VGG16, VGG19 (``_bn`` too), ResNet-50, -101, -152 and MobileNet V2 fit as they are, wrapped
    or behind one prefix too, as ``load_checkpoint`` finds them:

    - What the backbone ends before is left out: ``fc``, ``classifier``, MobileNet's last convolution.
    - VGG's fully connected layers become convolutions where the net has them as such: (4096, 25088) is read as
      (4096, 512, 7, 7); Long et al., Fully Convolutional Networks (2015), section 3.1.
    - A net for grey images takes the sum of the first convolution over the colours.

    Args:
        net: float32, changed in place, also where an error is raised. Its ``backbone`` is loaded, of Mask R-CNN the
            ``backbone.body``.
        path: .safetensors, or what ``torch.save`` wrote of weights.
        weights_key: where in the file the weights are, if there are several.
    Returns:
        Sentences for the user: what was left out or converted.
    Raises:
        ModelError: no file of weights, or weights that do not fit; or the net has no backbone, or is no built-in one.

    Example, with a file that stands in for torchvision's:

        >>> import tempfile, torch
        >>> from edgeseg.export.nets.refinenet import refinenet
        >>> published = refinenet(backbone="resnet50", width=0.125).backbone.state_dict()
        >>> net = refinenet(num_classes=5, backbone="resnet50", width=0.125)
        >>> with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        ...     torch.save(published | {"fc.weight": torch.zeros(1000, 256)}, file.name)
        ...     load_backbone(net, file.name)
        ('left out, as the backbone ends before them: fc.weight',)
        >>> torch.equal(net.backbone.conv1.weight, published["conv1.weight"])
        True
    """
    path = Path(path)
    adapt = functools.partial(_adapted, path)
    return load_checkpoint(_backbone_for(net, path), path, weights_key=weights_key, adapt=adapt)


def load_whole(
    loaded: Loaded, path: Path, *, weights_key: str | None = None, expected_classes: int | None = None
) -> tuple[str, ...]:
    """``load_checkpoint`` into a net, and where the file holds its backbone's weights alone, say what they are for."""
    try:
        return load_checkpoint(
            loaded.net,
            path,
            weights_key=weights_key,
            class_argument=loaded.class_argument,
            expected_classes=expected_classes,
        )
    except ModelError as error:
        if error.hint != AS_TRAINED or not _holds_backbone(loaded.net, path):
            raise
        raise ModelError(
            error.what, "these are weights of its backbone alone: give them with --backbone-checkpoint"
        ) from error


def _holds_backbone(net: nn.Module | ExportedProgram, path: Path) -> bool:
    backbone = _backbone_of(net)
    if backbone is None:
        return False
    keys = {key for key in backbone.state_dict() if not key.endswith(COUNTER)}
    content = read_weights(path)
    places = places_of(keys, content, tables_in(content))
    is_alone = bool(places) and "backbone" not in places[0].prefix.split(".")
    return is_alone and places[0].count * 2 > len(keys)


def _backbone_for(net: nn.Module | ExportedProgram, path: Path) -> nn.Module:
    backbone, name = _backbone_of(net), type(net).__name__
    if backbone is not None:
        return backbone
    if _is_built_in(net):
        raise ModelError(f"{name} has no backbone to load {path} into", "leave it out: this net is trained as a whole")
    raise ModelError(
        f"{path} cannot be loaded into the backbone of {name}, which is no built-in net",
        "load it where the net is made, or give the whole net's weights with --checkpoint",
    )


def _backbone_of(net: nn.Module | ExportedProgram) -> nn.Module | None:
    """Without the pyramid that Mask R-CNN has around it."""
    backbone: nn.Module | None = getattr(net, "backbone", None) if _is_built_in(net) else None
    body: nn.Module | None = getattr(backbone, "body", backbone)
    return body


def _is_built_in(net: object) -> bool:
    require("torch")
    from edgeseg.export.nets.base import SegmentationNet

    return isinstance(net, SegmentationNet)


def _adapted(path: Path, weights: Table, expected: Table) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """What of a file is the backbone's, in its shapes, and sentences on what was done."""
    last = _last_layer(expected)
    behind = [key for key in weights if key not in expected and _is_behind(key, last)]
    kept = {key: tensor for key, tensor in weights.items() if key not in behind}
    shaped = {key: _shaped(tensor, expected[key]) if key in expected else tensor for key, tensor in kept.items()}
    _refuse_other_form(path, shaped, expected)
    notes = [f"left out, as the backbone ends before them: {some(sorted(behind))}"] if behind else []
    notes += [
        f"the image is grey: {key} is summed over the colours"
        for key in shaped
        if key in expected and _is_of_colours(kept[key], expected[key])
    ]
    return shaped, tuple(notes)


def _last_layer(expected: Table) -> int:
    return max((number for key in expected if (number := _number(key)) is not None), default=-1)


def _is_behind(key: str, last: int) -> bool:
    number = _number(key)
    return key.partition(".")[0] in CLASSIFIERS or (number is not None and number > last >= 0)


def _number(key: str) -> int | None:
    first, _, rest = key.partition(".")
    number = rest.partition(".")[0]
    return int(number) if first == FEATURES and number.isdigit() else None


def _shaped(tensor: Tensor, of_net: Tensor) -> Tensor:
    if _is_of_colours(tensor, of_net):
        return tensor.float().sum(1, keepdim=True)
    is_flat = (tensor.ndim, of_net.ndim) == (2, 4) and tensor.shape == of_net.flatten(1).shape
    return tensor.reshape(of_net.shape) if is_flat else tensor


def _is_of_colours(tensor: Tensor, of_net: Tensor) -> bool:
    if (tensor.ndim, of_net.ndim) != (4, 4):
        return False
    return (tensor.shape[1], of_net.shape[1]) == (3, 1) and tensor[:, :1].shape == of_net.shape


def _refuse_other_form(path: Path, weights: Table, expected: Table) -> None:
    """Tell the misfits whose cause is known from the rest, which ``load_checkpoint`` tells."""
    shapes = {
        key: (tuple(weights[key].shape), tuple(tensor.shape))
        for key, tensor in expected.items()
        if key in weights and weights[key].shape != tensor.shape
    }
    hint = ""
    if "conv1.0.weight" in expected and "conv1.weight" in weights:
        hint = ONE_STEM
    elif shapes and _has_other_width(weights, expected):
        hint = PUBLISHED_WIDTH
    if hint:
        missing = [key for key in expected if key not in weights and not key.endswith(COUNTER)]
        misfit = Misfit(missing, [key for key in weights if key not in expected], shapes)
        raise ModelError(misfit_error(str(path), misfit).what, hint)


def _has_other_width(weights: Mapping[str, Tensor], expected: Table) -> bool:
    """The first convolution tells: all published ones have the same outputs, a narrower net's has fewer."""
    first = next((key for key in expected if key in weights), None)
    return first is not None and weights[first].shape[:1] != expected[first].shape[:1]
