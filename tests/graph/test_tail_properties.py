from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tail_lab import cut, noise, op_types, run_on

from edgeseg.graph.tail import Tail
from edgeseg.imaging import postprocess_reference as reference
from edgeseg.imaging.postprocess import MaskMaker

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
pytest.importorskip("onnxruntime")

#: float32 rounding of positions up to 40 and of values up to 10, by both sides
ROUNDING = 1e-4
#: of random logits, this share of the pixels may have two best scores that close
UNCLEAR = 0.01

CLASS_ORDERS = [
    "resize softmax argmax",
    "softmax resize argmax",
    "logsoftmax resize argmax",
    "sigmoid resize argmax",
    "resize sigmoid argmax",
    "resize argmax_kept",
    "resize topk",
    "resize",
    "resize softmax",
    "softmax resize",
    "argmax",
    "softmax argmax",
    "nhwc resize softmax argmax",
    "nhwc softmax resize argmax_kept",
    "resize nhwc argmax",
    "resize half softmax argmax",
    "nhwc resize",
    "identity resize dropout argmax",
]
NEAREST_CLASS_ORDERS = ["argmax_kept float resize", "topk float resize", "softmax argmax unsqueeze float resize"]
ONE_ORDERS = [
    "resize sigmoid greater",
    "sigmoid resize greater",
    "resize greater",
    "resize not_less",
    "resize less_swapped",
    "resize sigmoid round",
    "sigmoid resize round",
    "resize sigmoid",
    "sigmoid resize",
    "resize",
    "sigmoid greater",
    "sigmoid resize greater where",
    "nhwc resize sigmoid greater",
]
NEAREST_ONE_ORDERS = ["greater float resize", "sigmoid round resize"]
ENDS = ["", "int32", "uint8", "int64", "float", "squeeze", "squeeze uint8", "int32 unsqueeze", "float identity"]
CAST_TO = {"float": 1, "uint8": 2, "int32": 6, "int64": 7}
ACTIVATIONS = {"softmax", "logsoftmax", "sigmoid"}
THRESHOLD = 0.375


@dataclass(frozen=True)
class Case:
    channels: int
    small: tuple[int, int]
    large: tuple[int, int]
    resize: str
    steps: tuple[str, ...]
    opset: int

    @property
    def is_nearest(self) -> bool:
        return "nearest" in self.resize


@st.composite
def cases(draw: Any) -> Case:
    channels, is_nearest = draw(st.integers(1, 7)), draw(st.booleans())
    modes = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    coordinates = draw(st.sampled_from(modes))
    roundings = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]
    rounding = f', nearest_mode="{draw(st.sampled_from(roundings))}"' if is_nearest else ""
    resize = f'mode="{"nearest" if is_nearest else "linear"}", coordinate_transformation_mode="{coordinates}"{rounding}'
    orders = ONE_ORDERS if channels == 1 else CLASS_ORDERS
    if is_nearest:
        orders = orders + (NEAREST_ONE_ORDERS if channels == 1 else NEAREST_CLASS_ORDERS)
    order = draw(st.sampled_from(orders)).split()
    if not {"argmax", "argmax_kept", "topk", "greater", "not_less", "less_swapped", "round"}.isdisjoint(order):
        order += draw(st.sampled_from(ENDS)).split()
    low = 2 if coordinates == "pytorch_half_pixel" else 1
    # an axis of 1 that is added beside a height of 1 cannot be told from it
    side, target = st.integers(2 if "unsqueeze" in order else 1, 9), st.integers(low, 40)
    small, large = (draw(side), draw(side)), (draw(target), draw(target))
    return Case(channels, small, large, resize, tuple(order), draw(st.integers(17, 21)))


class Writer:
    """Writes a case as ONNX text."""

    def __init__(self, case: Case) -> None:
        self.case, self.lines, self.axes, self.dtype = case, ["v0 = Conv(image, w)"], "1CHW", "float"
        self.sides = {"1": 1, "C": case.channels, "H": case.small[0], "W": case.small[1]}

    def add(self, text: str, outputs: str = "") -> None:
        old, new = f"v{len(self.lines) - 1}", f"v{len(self.lines)}"
        self.lines.append(f"{outputs}{new} = " + text.replace("@", old))

    def step(self, name: str) -> None:
        axis = self.axes.find("C")
        if name == "resize":
            self.sides |= {"H": self.case.large[0], "W": self.case.large[1]}
            sizes = ", ".join(str(self.sides[letter]) for letter in self.axes)
            self.lines[-1] += f" n{len(self.lines)} = Constant<value_ints=[{sizes}]>()"
            self.add(f"Resize<{self.case.resize}>(@, , , n{len(self.lines)})")
        elif name in ("softmax", "logsoftmax"):
            self.add(f"{'Softmax' if name == 'softmax' else 'LogSoftmax'}<axis={axis}>(@)")
        elif name in ("argmax", "argmax_kept", "topk"):
            self.decide(name, axis)
        elif name == "nhwc":
            self.add("Transpose<perm=[0, 2, 3, 1]>(@)")
            self.axes = "1HWC"
        elif name == "half":
            self.add("Cast<to=11>(@)")  # double: float16 would move scores by more than rounding
            self.dtype = "double"
        elif name in ("int32", "int64", "uint8", "float"):
            self.add(f"Cast<to={CAST_TO[name]}>(@)")
            self.dtype = name
        elif name == "squeeze":
            self.add("Squeeze(@)")
        elif name == "unsqueeze":
            self.add("Unsqueeze(@, zero)")
            self.axes = "1" + self.axes
        else:
            self.simple(name)

    def decide(self, name: str, axis: int) -> None:
        if name == "topk":
            self.add(f"TopK<axis={axis}>(@, k)", outputs=f"u{len(self.lines)}, ")
        else:
            self.add(f"ArgMax<axis={axis}, keepdims={int(name != 'argmax')}>(@)")
        self.axes = self.axes.replace("C", "" if name == "argmax" else "1")
        self.dtype = "int64"

    def simple(self, name: str) -> None:
        text, dtype = {
            "sigmoid": ("Sigmoid(@)", self.dtype),
            "greater": ("Greater(@, t)", "bool"),
            "not_less": ("GreaterOrEqual(@, t)", "bool"),
            "less_swapped": ("Less(t, @)", "bool"),
            "round": ("Round(@)", self.dtype),
            "where": ("Where(@, yes, no)", "float"),
            "identity": ("Identity(@)", self.dtype),
            "dropout": ("Dropout(@)", self.dtype),
        }[name]
        self.add(text)
        self.dtype = dtype


def written(case: Case) -> tuple[Any, Writer]:
    writer = Writer(case)
    for name in case.steps:
        writer.step(name)
    weights = np.random.default_rng(case.channels).normal(size=3 * case.channels)
    constants = (
        f"float[{case.channels}, 3, 1, 1] w = {{{', '.join(f'{one:.6f}' for one in weights)}}}, int64[1] k = {{1}}, "
        f"float t = {{{THRESHOLD}}}, int64[1] zero = {{0}}, float yes = {{1.0}}, float no = {{0.0}}"
    )
    head = f'<ir_version: 8, opset_import: ["" : {case.opset}]> g (float[1, 3, {case.small[0]}, {case.small[1]}] image)'
    last = len(writer.lines) - 1
    text = f"{head} => ({writer.dtype}[] v{last}) <{constants}> {{ {' '.join(writer.lines)} }}"
    return ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))), writer


def expected_nodes(case: Case) -> list[str]:
    """What must stay: nothing but the convolution, unless probabilities are interpolated."""
    before = case.steps[: case.steps.index("resize")] if "resize" in case.steps else ()
    if case.is_nearest or case.small == case.large or ACTIVATIONS.isdisjoint(before):
        return ["Conv"]
    names = {"nhwc": "Transpose", "softmax": "Softmax", "logsoftmax": "LogSoftmax", "sigmoid": "Sigmoid"}
    return ["Conv", *(names[step] for step in before)]


def mask_of(result: np.ndarray, case: Case, writer: Writer, size_hw: tuple[int, int]) -> np.ndarray:
    """What the net's user makes of its output."""
    if result.size == size_hw[0] * size_hw[1] * case.channels and writer.axes.find("C") > 0 and case.channels > 1:
        scores = np.squeeze(result, 0)
        return scores.argmax(0 if writer.axes == "1CHW" else 2)
    mask = result.reshape(size_hw)
    if (
        writer.dtype == "float"
        and not {"greater", "not_less", "less_swapped", "round"} & {*case.steps}
        and (case.channels == 1)
    ):
        return mask > (0.5 if "sigmoid" in case.steps else 0.0)
    return mask


def clear_pixels(tail: Tail, scores: np.ndarray, case: Case) -> np.ndarray:
    """Where the best two scores differ by more than rounding, and no position is where a nearest rule jumps."""
    head = tail.head
    planes = scores[0] if head.layout == "NCHW" else scores[0].transpose(2, 0, 1)
    beside = reference.beside_threshold(np.ascontiguousarray(planes), head.threshold)
    assert head.uncut_hw is not None
    values = np.sort(reference.enlarged(beside, size_hw=head.uncut_hw, upsample=head.upsample), axis=0)
    is_clear = values[-1] - values[-2] > ROUNDING
    if head.upsample.mode == "nearest":
        rows, columns = (
            np.array([not jumps(tail, small, large, index) for index in range(large)])
            for small, large in zip(head.size_hw, head.uncut_hw, strict=True)
        )
        is_clear &= rows[:, None] & columns
    return is_clear


def jumps(tail: Tail, small: int, large: int, index: int) -> bool:
    """Whether a position lies exactly where its neighbour changes: there the rounding of a scale decides.

    Powers of two are scales without rounding: there both sides must agree.
    """
    ratio = Fraction(small, large)
    if ratio.numerator & (ratio.numerator - 1) == 0 == ratio.denominator & (ratio.denominator - 1):
        return tail.head.upsample.coordinates == "align_corners"
    upsample = tail.head.upsample
    if upsample.coordinates == "align_corners":
        place = Fraction(index * (small - 1), max(large - 1, 1))
    else:
        half = Fraction(1, 2) if upsample.coordinates == "half_pixel" else Fraction(0)
        place = (index + half) * ratio - half
    return place.denominator == (2 if str(upsample.rounding).startswith("round") else 1)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(case=cases(), seed=st.integers(0, 10**6))
def test_the_cut_net_with_the_runtimes_tail_equals_the_uncut_net(case: Case, seed: int) -> None:
    image = noise((1, 3, *case.small), seed=seed)
    model, writer = written(case)
    result = run_on(model, image)
    tail, model = cut(model)
    scores = run_on(model, image)
    head, kept = tail.head, op_types(model)
    size_hw = case.large if "resize" in case.steps else case.small
    assert (scores.shape, scores.dtype, head.uncut_hw) == (head.shape, np.float32, size_hw)
    assert kept == expected_nodes(case)
    mask = MaskMaker(head, threads=1).mask(scores, size_hw=size_hw)
    is_clear = clear_pixels(tail, scores, case)
    np.testing.assert_array_equal(mask[is_clear], mask_of(result, case, writer, size_hw)[is_clear])


@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
def test_few_pixels_of_random_scores_are_too_close_to_be_compared(channels: int, coordinates: str) -> None:
    resize = f'mode="linear", coordinate_transformation_mode="{coordinates}"'
    case = Case(channels, (17, 23), (117, 203), resize, ("resize",), 19)
    model, _ = written(case)
    tail, model = cut(model)
    image = noise((1, 3, *case.small), seed=channels)
    assert clear_pixels(tail, run_on(model, image), case).mean() > 1 - UNCLEAR
