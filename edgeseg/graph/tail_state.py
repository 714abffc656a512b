"""Own what one node of a net's tail does to scores or class ids. Walk no graph, change none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.access import attribute, constant_of, shape_of
from edgeseg.graph.tail_chain import Link
from edgeseg.graph.tail_resize import Unrecognised, read_resize
from edgeseg.spec import UpsampleSpec

__all__ = ["FLOATS", "Scores", "TailState", "Unrecognised", "step"]

Scores = Literal["logits", "probabilities"]
FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
#: the largest class id that a type holds exactly
LARGEST = {"BOOL": 1, "INT8": 127, "BFLOAT16": 256, "UINT8": 255}
ZERO = 1e-6  # "at least 0.5", as a probability, is "more than -1.2e-7" as a score
WIDE = ("FLOAT", "FLOAT16", "DOUBLE", "INT16", "INT32", "INT64", "UINT16", "UINT32", "UINT64")


@dataclass(frozen=True, kw_only=True)
class TailState:
    """What a value of the tail holds, told from the value that the tail begins with.

    ``axes`` has a letter for every axis: C, H, W, or 1 for an axis of size 1 without a meaning. ``scores`` says what
    the tail began with; ``activation``, what was applied since, and ``upsample``, how it was enlarged since.
    ``threshold`` is on the scores that the tail began with. ``fades`` says that towards the border a factor makes
    them smaller than ``upsample`` makes them.
    """

    axes: str
    size_hw: tuple[int, int]
    channels: int
    scores: Scores
    kind: Literal["scores", "ids"] = "scores"
    activation: str = ""
    upsample: UpsampleSpec | None = None
    threshold: float | None = None
    fades: bool = False
    cut: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """How many there are; 2 for a threshold."""
        return max(self.channels, 2)

    @property
    def meaning(self) -> Scores:
        """Of the scores that this value holds."""
        return "probabilities" if self.activation in ("Softmax", "Sigmoid") else self.scores


def step(link: Link, state: TailState) -> TailState:
    """The state behind a node.

    Raises:
        Unrecognised: with the reason, where the runtime cannot do what the node does.
    """
    rule = RULES.get(link.node.op_type) if link.node.domain in ("", "ai.onnx") else None
    if rule is None:
        raise Unrecognised("not recognised")
    return replace(rule(link, state), cut=(*state.cut, _words(link, state)))


def _words(link: Link, state: TailState) -> str:
    """What a sidecar says of a node that was cut."""
    node = link.node
    if node.op_type in ("Resize", "Upsample"):
        before, after = _shapes(link)
        rule = read_resize(node, state.axes, before, after)
        form = "linear" if rule.mode == "bilinear" else f"nearest {rule.rounding}"
        small, large = (_size_hw(state.axes, shape) for shape in (before, after))
        return f"Resize {form} {rule.coordinates} {small[0]}x{small[1]} -> {large[0]}x{large[1]}"
    if node.op_type == "ConvTranspose":
        small, large = (_size_hw(state.axes, shape) for shape in _shapes(link))
        return f"ConvTranspose bilinear {small[0]}x{small[1]} -> {large[0]}x{large[1]}"
    if node.op_type.startswith(("Greater", "Less")):
        return f"{node.op_type} {_bound(link).item():g}"
    return node.op_type


def _size_hw(axes: str, shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[axes.index("H")], shape[axes.index("W")]


def _shapes(link: Link) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before, after = shape_of(link.data), shape_of(link.out)
    if before is None or after is None:
        raise Unrecognised("its shape is not known")
    return before, after


def _opset(link: Link) -> int:
    graph = link.node.graph
    return graph.opset_imports.get("", 0) if graph is not None else 0


def _axis(link: Link, default: int, rank: int) -> int:
    return int(attribute(link.node, "axis", default)) % rank


def _expect_scores(state: TailState) -> None:
    if state.kind != "scores":
        raise Unrecognised("works on class ids")


def _reaxed(link: Link, state: TailState) -> TailState:
    """Axes of size 1 may come and go; a height or width of 1 is not told from them then."""
    before, after = _shapes(link)
    if [side for side in before if side != 1] != [side for side in after if side != 1]:
        raise Unrecognised(f"turns {before} into {after}")
    if before == after:
        return state
    letters = iter(letter for letter, side in zip(state.axes, before, strict=True) if side != 1)
    return replace(state, axes="".join("1" if side == 1 else next(letters) for side in after))


def _cast(link: Link, state: TailState) -> TailState:
    dtype = link.out.dtype.name if link.out.dtype is not None else ""
    if state.kind == "scores" and dtype not in FLOATS:
        raise Unrecognised(f"turns scores into {dtype.lower()}")
    if state.kind == "ids" and dtype not in WIDE and state.classes - 1 > LARGEST.get(dtype, -1):
        raise Unrecognised(f"{dtype.lower()} does not hold {state.classes} classes")
    return state


def _dropout(link: Link, state: TailState) -> TailState:
    inputs = link.node.inputs
    training = constant_of(inputs[2]) if len(inputs) > 2 else None
    if training is not None and training.any():
        raise Unrecognised("in training mode")
    return state


def _transpose(link: Link, state: TailState) -> TailState:
    order: Sequence[int] = attribute(link.node, "perm", tuple(reversed(range(len(state.axes)))))
    return replace(state, axes="".join(state.axes[axis] for axis in order))


def _gather(link: Link, state: TailState) -> TailState:
    before, _ = _shapes(link)
    axis, index = _axis(link, 0, len(before)), constant_of(link.node.inputs[1])
    if before[axis] != 1 or index is None or index.size != 1 or index.item() not in (0, -1):
        raise Unrecognised("takes a part")
    return _reaxed(link, state)


def _slice(link: Link, state: TailState) -> TailState:
    before, after = _shapes(link)
    inputs = link.node.inputs
    steps = constant_of(inputs[4]) if len(inputs) > 4 else None
    if before != after or (steps is None and len(inputs) > 4) or (steps is not None and (steps != 1).any()):
        raise Unrecognised("takes a part")
    return state


def _activated(link: Link, state: TailState) -> TailState:
    _expect_scores(state)
    if state.activation:
        raise Unrecognised(f"a second activation after {state.activation}")
    return replace(state, activation=link.node.op_type)


def _softmax(link: Link, state: TailState) -> TailState:
    """Before opset 13 the axes from ``axis`` on were taken together."""
    before, _ = _shapes(link)
    rank, is_old = len(before), _opset(link) < 13
    axis = _axis(link, 1 if is_old else -1, rank)
    if before[axis] == 1 and state.channels == 1:
        raise Unrecognised("over one channel everything becomes 1")
    if state.axes[axis] != "C" or (is_old and axis != rank - 1):
        raise Unrecognised(f"not over the classes but over axis {axis} of {before}")
    return _activated(link, state)


def _decided(state: TailState, before: tuple[int, ...], axis: int, *, is_kept: bool) -> TailState:
    _expect_scores(state)
    if before[axis] == 1:
        raise Unrecognised("over one channel, so that everything becomes class 0")
    if state.axes[axis] != "C":
        raise Unrecognised(f"not over the classes but over axis {axis} of {before}")
    axes = state.axes.replace("C", "1" if is_kept else "")
    return replace(state, kind="ids", axes=axes)


def _arg_max(link: Link, state: TailState) -> TailState:
    before, _ = _shapes(link)
    if attribute(link.node, "select_last_index", 0):
        raise Unrecognised("takes the last class on a tie")
    return _decided(state, before, _axis(link, 0, len(before)), is_kept=bool(attribute(link.node, "keepdims", 1)))


def _top_k(link: Link, state: TailState) -> TailState:
    before, _ = _shapes(link)
    count = constant_of(link.node.inputs[1])
    if link.out is not link.node.outputs[1]:
        raise Unrecognised("its values are used, not its indices")
    if count is None or count.size != 1 or count.item() != 1 or not attribute(link.node, "largest", 1):
        raise Unrecognised("takes others than the largest one")
    return _decided(state, before, _axis(link, -1, len(before)), is_kept=True)


def _thresholded(state: TailState, threshold: float) -> TailState:
    """Class 1 above a threshold on the scores as they are here."""
    _expect_scores(state)
    if state.channels != 1:
        raise Unrecognised(f"a threshold on {state.channels} channels")
    if state.activation == "Sigmoid":
        if not 0.0 < threshold < 1.0:
            raise Unrecognised(f"threshold {threshold:g} is not between the probabilities 0 and 1")
        threshold = math.log(threshold / (1.0 - threshold))
    if not abs(threshold) < 2.0**127:  # false for a NaN too
        raise Unrecognised(f"threshold {threshold:g}")
    if state.fades and abs(threshold) > ZERO:
        raise Unrecognised(f"threshold {threshold:g} on scores that fade towards the border")
    return replace(state, kind="ids", threshold=threshold)


def _bound(link: Link) -> NDArray[Any]:
    first, second = link.node.inputs
    bound = constant_of(second if link.data is first else first)
    if bound is None or bound.size != 1 or bound.ndim > len(_shapes(link)[0]):
        raise Unrecognised("compares with more than one number")
    return bound


def _compared(link: Link, state: TailState) -> TailState:
    """``>=`` is ``>`` the next float below; of 0 the next that a kernel may not flush to 0."""
    kind = link.node.op_type
    if kind.startswith("Greater") != (link.data is link.node.inputs[0]):
        raise Unrecognised("class 1 is what is below the threshold")
    threshold = np.float32(_bound(link).item())
    if kind.endswith("OrEqual"):
        tiny = np.finfo(np.float32).tiny
        threshold = np.nextafter(threshold, np.float32(-np.inf)) if abs(threshold) > tiny else -tiny
    return _thresholded(state, float(threshold))


def _rounded(_: Link, state: TailState) -> TailState:
    """A half goes to the even 0: above 0.5."""
    if state.meaning != "probabilities":
        raise Unrecognised("rounds what is no probability")
    return _thresholded(state, 0.5)


def _where(link: Link, state: TailState) -> TailState:
    condition, one, zero = link.node.inputs
    chosen = constant_of(one), constant_of(zero)
    is_plain = link.data is condition and all(value is not None and value.size == 1 for value in chosen)
    if state.kind != "ids" or not is_plain or [value.item() for value in chosen if value is not None] != [1, 0]:
        raise Unrecognised("chooses others than 1 and 0")
    return _reaxed(link, state)


def _resized(link: Link, state: TailState) -> TailState:
    before, after = _shapes(link)
    upsample = read_resize(link.node, state.axes, before, after)
    return state if before == after else _enlarged(state, upsample, _size_hw(state.axes, after))


def _deconvolved(link: Link, state: TailState) -> TailState:
    """One that interpolates; a chain has no other."""
    before, after = _shapes(link)
    strides: Sequence[int] = attribute(link.node, "strides", (1, 1))
    if state.axes != "1CHW":
        raise Unrecognised(f"over other axes than height and width: {state.axes}")
    if after[2:] != (before[2] * strides[0], before[3] * strides[1]):
        raise Unrecognised(f"turns {before} into {after}, not times {strides[0]}x{strides[1]}")
    if state.meaning == "probabilities":
        raise Unrecognised("lets probabilities fade towards the border")
    return replace(_enlarged(state, UpsampleSpec(), after[2:]), fades=True)


def _enlarged(state: TailState, upsample: UpsampleSpec, size_hw: tuple[int, ...]) -> TailState:
    is_linear = upsample.mode == "bilinear"
    if state.upsample is not None:
        raise Unrecognised("a second enlargement; the last one can be done by the runtime")
    if is_linear and state.kind == "ids":
        raise Unrecognised("interpolates class ids")
    if is_linear and state.activation:
        raise Unrecognised(f"interpolates what {state.activation} made")
    return replace(state, upsample=upsample, size_hw=(size_hw[0], size_hw[1]))


RULES: dict[str, Callable[[Link, TailState], TailState]] = {
    "ArgMax": _arg_max,
    "Cast": _cast,
    "ConvTranspose": _deconvolved,
    "Dropout": _dropout,
    "Flatten": _reaxed,
    "Gather": _gather,
    "Greater": _compared,
    "GreaterOrEqual": _compared,
    "Identity": _reaxed,
    "Less": _compared,
    "LessOrEqual": _compared,
    "LogSoftmax": _softmax,
    "Reshape": _reaxed,
    "Resize": _resized,
    "Round": _rounded,
    "Sigmoid": _activated,
    "Slice": _slice,
    "Softmax": _softmax,
    "Squeeze": _reaxed,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Unsqueeze": _reaxed,
    "Upsample": _resized,
    "Where": _where,
}
