"""Own the end of a segmentation graph: what the runtime can do in its place, and cutting it off. Make no mask."""

from __future__ import annotations

import difflib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from edgeseg.errors import ModelError
from edgeseg.graph.access import described, infer_shapes, shape_of
from edgeseg.graph.tail_chain import NOTABLE, Link, Nature, chain_to, natures_of
from edgeseg.graph.tail_state import FLOATS, Scores, TailState, Unrecognised, step
from edgeseg.packages import require
from edgeseg.spec import MAX_CLASSES, HeadSpec, Layout, UpsampleSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Tail", "conform_output", "cut_tail", "find_tail"]


@dataclass(frozen=True, kw_only=True)
class Tail:
    """What stands at a graph's end.

    ``head`` is what leaves the graph once its tail is cut, and ``uncut`` what leaves it with its tail; both as
    ``cut_tail`` and ``conform_output`` make it. ``left`` names the node that keeps more from being cut, with the
    reason; it is empty where an ordinary layer comes next.
    """

    head: HeadSpec
    uncut: HeadSpec
    left: str


class _Failure(NamedTuple):
    """Where in the chain a reading ended, and why."""

    at: int
    reason: str


class _Reading(NamedTuple):
    """What a value and the chain behind it mean: the state there and at the output."""

    layout: Layout
    first: TailState
    last: TailState


def find_tail(model: ir.Model, output: str | None = None) -> Tail:
    """The longest end of a graph that the runtime can do in the graph's place.

    Args:
        model: with a static input of batch 1; shapes are filled in, nothing else is changed.
        output: which of several outputs counts.
    Raises:
        ModelError: no such output, none chosen of several, or it is neither scores of 1 to 255 classes nor class ids
            of one image.
    """
    value = _chosen(model, output)
    chain = chain_to(value)
    if any(shape_of(one) is None for one in (value, *(link.data for link in chain))):
        infer_shapes(model)
    natures, image_hw = natures_of(chain), _image_hw(model)
    attempts: list[list[_Failure]] = []
    for start, nature in enumerate(natures):
        first = chain[start].data if start < len(chain) else value
        results = [_read(chain, start, *one) for one in _starts(first, nature, image_hw)]
        for found in results:
            if isinstance(found, _Reading):
                uncut = _uncut_head(value, found)
                head = _cut_head(first, found) if found.last.cut else uncut
                return Tail(head=head, uncut=uncut, left=_left(value, chain, start, attempts[-1] if attempts else []))
        attempts.append([found for found in results if isinstance(found, _Failure)])
    uncut = _plain_head(value, natures[-1])
    return Tail(head=uncut, uncut=uncut, left=_left(value, chain, len(chain), list(itertools.chain(*attempts))))


def cut_tail(model: ir.Model, tail: Tail) -> None:
    """Make what ``tail.head`` describes the graph's only output, and drop what only the tail needed; in place."""
    _end_with(model, tail.head)


def conform_output(model: ir.Model, tail: Tail) -> None:
    """Keep the tail, but make of the output what ``tail.uncut`` describes: its dtype, its four axes; in place."""
    _end_with(model, tail.uncut)


def _chosen(model: ir.Model, output: str | None) -> ir.Value:
    named = {str(value.name): value for value in model.graph.outputs}
    if output is None and len(named) == 1:
        return next(iter(named.values()))
    if output in named:
        return named[output]
    names = sorted(named, key=lambda name: -difflib.SequenceMatcher(None, output or "", name).ratio())
    asked = f"no output '{output}'" if output is not None else f"{len(named)} outputs"
    raise ModelError(f"the graph has {asked}", f"choose one with --output NAME: {', '.join(names)}")


def _image_hw(model: ir.Model) -> tuple[int, int] | None:
    """The size of the picture that enters, where that is plain to see."""
    for value in model.graph.inputs:
        shape = shape_of(value)
        if shape is not None and len(shape) == 4 and shape[1] in (1, 3):
            return shape[2], shape[3]
        if shape is not None and len(shape) == 4 and shape[3] in (1, 3):
            return shape[1], shape[2]
    return None


def _starts(value: ir.Value, nature: Nature, image_hw: tuple[int, int] | None) -> list[tuple[Layout, TailState]]:
    """How a value may be read as scores, the likeliest first: in the picture's proportions, few classes, NCHW."""
    shape, dtype = shape_of(value), value.dtype
    if nature == "ids" or shape is None or len(shape) != 4 or shape[0] != 1 or value.producer() is None:
        return []
    if dtype is None or dtype.name not in FLOATS:
        return []
    one, two, three = shape[1:]
    found: list[tuple[Layout, TailState]] = [
        ("NCHW", TailState(axes="1CHW", size_hw=(two, three), channels=one, scores=nature)),
        ("NHWC", TailState(axes="1HWC", size_hw=(one, two), channels=three, scores=nature)),
    ]
    return sorted(found, key=lambda one: (not _is_like(one[1].size_hw, image_hw), one[1].channels > MAX_CLASSES))


def _is_like(size_hw: tuple[int, int], image_hw: tuple[int, int] | None) -> bool:
    """The same proportions, but for the rounding of one pixel."""
    return image_hw is None or abs(size_hw[0] * image_hw[1] / image_hw[0] - size_hw[1]) <= 1.0


def _read(chain: list[Link], start: int, layout: Layout, first: TailState) -> _Reading | _Failure:
    """Follow the chain from one of its values to the output."""
    state = first
    for index in range(start, len(chain)):
        try:
            state = step(chain[index], state)
        except Unrecognised as why:
            return _Failure(index, str(why))
    order = "".join(letter for letter in state.axes if letter in ("HW" if state.channels == 1 else "CHW"))
    if not any(order == "".join(letter for letter in known if letter in order) for known in ("CHW", "HWC")):
        return _Failure(len(chain) - 1, f"leaves the axes in the order {order}")
    if state.kind == "scores" and state.channels > 1 and "C" not in order:
        return _Failure(len(chain) - 1, "leaves no axis of classes")
    return _Reading(layout, first, state)


def _left(value: ir.Value, chain: list[Link], start: int, failures: list[_Failure]) -> str:
    """What kept a reading from beginning before ``start``; nothing where only ordinary layers come before it."""
    source = (chain[0].data if chain else value).producer()
    before = [link.node for link in chain[:start]]
    is_worth_it = source is not None and source.op_type in NOTABLE
    if not is_worth_it and not any(node.op_type in NOTABLE | {"ConvTranspose"} for node in before):
        return ""
    if not before:
        return f"{described(source)} (it takes more than one value and single numbers)" if source is not None else ""
    if not failures:
        return f"{described(before[-1])} (it takes {shape_of(chain[start - 1].data)})"
    furthest = max(failures, key=lambda failure: failure.at)
    node = chain[furthest.at].node
    if furthest.at < start:
        return f"{described(node)} ({furthest.reason})"
    return f"{described(before[-1])} (before {described(node)}: {furthest.reason})"


def _uncut_head(value: ir.Value, reading: _Reading) -> HeadSpec:
    state = reading.last
    if state.kind == "ids":
        _check_classes(value, state.channels)
        return _ids_head(value, state.size_hw)
    is_first = "C" not in state.axes or state.axes.replace("1", "").startswith("C")
    return _scores_head(value, state.channels, state.size_hw, state.meaning, "NCHW" if is_first else "NHWC")


def _cut_head(first: ir.Value, reading: _Reading) -> HeadSpec:
    before, after = reading.first, reading.last
    scores = "logits" if after.activation else before.scores
    return HeadSpec(
        output=str(first.name),
        channels=before.channels,
        size_hw=before.size_hw,
        decision="threshold" if before.channels == 1 else "argmax",
        scores=scores,
        threshold=_default_threshold(scores) if after.threshold is None else after.threshold,
        upsample=after.upsample or UpsampleSpec(),
        layout=reading.layout,
        cut=after.cut,
        uncut_hw=after.size_hw,
    )


def _plain_head(value: ir.Value, nature: Nature) -> HeadSpec:
    """What an output is of which only dtype and shape are understood."""
    shape = shape_of(value) or ()
    sides = shape[1:] if len(shape) > 2 and shape[0] == 1 else shape
    is_number = value.dtype is not None and value.dtype.name in FLOATS
    if len(sides) == 3 and 1 in (sides[0], sides[2]):
        sides = sides[1:] if sides[0] == 1 else sides[:2]
    if len(sides) == 2 and (nature == "ids" or not is_number):
        return _ids_head(value, (sides[0], sides[1]))
    if len(sides) in (2, 3) and nature != "ids" and is_number:
        return _scores_head(value, (1, *sides)[-3], (sides[-2], sides[-1]), nature, "NCHW")
    dtype = value.dtype.name.lower() if value.dtype is not None else "of unknown dtype"
    raise ModelError(
        f"output '{value.name}' is {dtype} {shape if value.shape is None or shape else value.shape}",
        "scores are (1, classes, height, width) and class ids (1, height, width) of one image: choose with --output",
    )


def _ids_head(value: ir.Value, size_hw: tuple[int, int]) -> HeadSpec:
    return HeadSpec(output=str(value.name), channels=1, size_hw=size_hw, decision="ids")


def _scores_head(value: ir.Value, channels: int, size_hw: tuple[int, int], scores: Scores, layout: Layout) -> HeadSpec:
    _check_classes(value, channels)
    return HeadSpec(
        output=str(value.name),
        channels=channels,
        size_hw=size_hw,
        decision="threshold" if channels == 1 else "argmax",
        scores=scores,
        threshold=_default_threshold(scores),
        layout=layout,
    )


def _default_threshold(scores: Scores) -> float:
    """Where class 1 is as likely as class 0; of one channel."""
    return 0.5 if scores == "probabilities" else 0.0


def _check_classes(value: ir.Value, channels: int) -> None:
    if channels > MAX_CLASSES:
        raise ModelError(
            f"output '{value.name}' has {channels} classes",
            f"1 to {MAX_CLASSES} fit a uint8 mask: choose with --output",
        )


def _end_with(model: ir.Model, head: HeadSpec) -> None:
    """Let the graph end with the value that ``head`` names, cast and reshaped to what it says under the same name."""
    onnx_ir = require("onnx_ir")
    value = _named(model, head.output)
    dtype = onnx_ir.DataType.INT32 if head.dtype == "int32" else onnx_ir.DataType.FLOAT
    tape = onnx_ir.tape.Tape(model.graph)
    end = value
    if value.dtype != dtype:
        end = tape.op("Cast", [end], {"to": dtype.value}, name=f"{head.output}_cast")
    if shape_of(value) != head.shape:
        target = tape.initializer(onnx_ir.tensor(list(head.shape), name=f"{head.output}_shape"))
        end = tape.op("Reshape", [end, target], name=f"{head.output}_reshape")
    model.graph.outputs[:] = [end]
    if end is not value:
        value.name = f"{head.output}_uncast"
        end.name, end.dtype, end.shape = head.output, dtype, onnx_ir.Shape(head.shape)
    require("onnx_ir.passes.common").RemoveUnusedNodesPass()(model)


def _named(model: ir.Model, name: str) -> ir.Value:
    for node in model.graph:
        for value in node.outputs:
            if value.name == name:
                return value
    raise ModelError(f"the graph has no value '{name}'", "find its tail again")
