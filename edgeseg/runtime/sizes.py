"""Own a model at another input size than its own: what its input and its head are there. Ask no engine."""

from __future__ import annotations

import msgspec

from edgeseg.errors import EngineError
from edgeseg.spec import HeadSpec, InputSpec, ModelSpec

__all__ = ["model_at"]


def model_at(model: ModelSpec, *, input_hw: tuple[int, int], scores_hw: tuple[int, int]) -> tuple[InputSpec, HeadSpec]:
    """The input and the head of a net that a profile lets run at another size.

    Args:
        model: at its own size.
        input_hw: height and width of the input.
        scores_hw: of the head's output there, as the engine says.
    Raises:
        EngineError: the mask that the net made before its tail was cut has no whole size there.

    Example:
        >>> from edgeseg.spec import ClassSpec, LabelSpec
        >>> labels = LabelSpec(classes=tuple(ClassSpec(name=name, colour=(0, 0, 0)) for name in "ab"))
        >>> image = InputSpec(name="image", size_hw=(64, 128), mean=(0.0,) * 3, std=(1.0,) * 3)
        >>> head = HeadSpec(output="y", channels=2, size_hw=(16, 32), decision="argmax", uncut_hw=(64, 128))
        >>> model = ModelSpec(onnx_sha256="0" * 64, input=image, head=head, labels=labels)
        >>> model_at(model, input_hw=(128, 128), scores_hw=(32, 32))[1].uncut_hw
        (128, 128)
    """
    image, head = model.input, model.head
    if input_hw == image.size_hw and scores_hw == head.size_hw:
        return image, head
    uncut = None if head.uncut_hw is None else _scaled(head.uncut_hw, image.size_hw, input_hw)
    return (
        msgspec.structs.replace(image, size_hw=input_hw, profile=None),
        msgspec.structs.replace(head, size_hw=scores_hw, uncut_hw=uncut),
    )


def _scaled(uncut_hw: tuple[int, int], own_hw: tuple[int, int], input_hw: tuple[int, int]) -> tuple[int, int]:
    sides = [divmod(uncut * given, own) for uncut, own, given in zip(uncut_hw, own_hw, input_hw, strict=True)]
    if any(rest for _, rest in sides):
        raise EngineError(
            f"the net's own mask was {uncut_hw} for an input of {own_hw}, which makes no whole size at {input_hw}",
            "take an input size that is a multiple of the net's stride",
        )
    return sides[0][0], sides[1][0]
