"""Own the words for weights that do not fit a net: keys, shapes, numbers of classes. Load nothing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeseg.errors import ModelError

__all__ = ["AS_TRAINED", "SHOWN", "Misfit", "misfit_error", "some"]

#: how many names a message lists
SHOWN = 5
AS_TRAINED = "make the net as it was trained (--arg)"

Shapes = Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class Misfit:
    """What does not fit: keys that only the net has, keys that only the file has, and differing shapes."""

    missing: list[str]
    extra: list[str]
    shapes: Shapes  # key -> in the file, in the net

    def __bool__(self) -> bool:
        """Whether anything does not fit."""
        return bool(self.missing or self.extra or self.shapes)


def misfit_error(
    where: str, misfit: Misfit, *, class_argument: str | None = None, expected_classes: int | None = None
) -> ModelError:
    """The error for weights, named ``where``, that do not fit; arguments as those of ``load_checkpoint``."""
    if misfit.missing or misfit.extra:
        return _keys_error(where, misfit)
    return _shapes_error(where, misfit.shapes, class_argument, expected_classes)


def some(names: Sequence[str], nearest_in: Sequence[str] = ()) -> str:
    """The first few of ``names``, each with the nearest of the others, and how many more there are."""
    shown = []
    for name in names[:SHOWN]:
        near = difflib.get_close_matches(name, nearest_in, n=1)
        shown.append(f"{name} (nearest in the file: {near[0]})" if near else name)
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(shown) + rest


def _keys_error(where: str, misfit: Misfit) -> ModelError:
    parts = []
    if misfit.missing:
        named = some(misfit.missing, nearest_in=misfit.extra)
        parts.append(f"{len(misfit.missing)} of the net's tensors are missing: {named}")
    if misfit.extra:
        parts.append(f"{len(misfit.extra)} are not in the net: {some(misfit.extra)}")
    if misfit.shapes:
        parts.append(f"{len(misfit.shapes)} have other shapes: {some(_shown(misfit.shapes))}")
    return ModelError(f"{where} does not fit the net; {'; '.join(parts)}", AS_TRAINED)


def _shapes_error(where: str, shapes: Shapes, class_argument: str | None, expected_classes: int | None) -> ModelError:
    classes = _classes_in(shapes)
    if classes is None:
        named = some(_shown(shapes))
        return ModelError(
            f"{where} does not fit the net; {len(shapes)} tensors have other shapes: {named}",
            AS_TRAINED,
        )
    of_file, of_net = classes
    labels = f", {expected_classes} are expected" if expected_classes not in (None, of_file) else ""
    return ModelError(
        f"{where} has {of_file} classes ({min(shapes)}), the net was made with {of_net}{labels}",
        f"--arg {class_argument}={of_file}" if class_argument else f"make the net with {of_file} classes (--arg)",
    )


def _shown(shapes: Shapes) -> list[str]:
    return [f"{key} is {of_file} in the file and {of_net} in the net" for key, (of_file, of_net) in shapes.items()]


def _classes_in(shapes: Shapes) -> tuple[int, int] | None:
    """The numbers of classes of file and net, where nothing differs but the outputs of the last layers.

    Then all shapes differ in the same pair of numbers, and all kernels in the axis of their outputs: the first, or of a
    transposed convolution the second. Where a width differs, some layer's inputs differ too.
    """
    pairs, kernel_axes, has_bias = set(), set(), False
    for of_file, of_net in shapes.values():
        differing = [axis for axis, (a, b) in enumerate(zip(of_file, of_net, strict=False)) if a != b]
        if len(of_file) != len(of_net) or len(differing) != 1:
            return None
        pairs.add((of_file[differing[0]], of_net[differing[0]]))
        if len(of_file) == 1:
            has_bias = True
        else:
            kernel_axes.add(differing[0])
    is_output = kernel_axes == {0} or (kernel_axes == {1} and has_bias)
    return pairs.pop() if len(pairs) == 1 and is_output else None
