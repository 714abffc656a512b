"""The rules that open a static graph for profiles, on graphs of a few nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeseg.errors import BuildError
from edgeseg.graph.access import constant_of
from edgeseg.graph.opening import opened, probed_sizes
from edgeseg.graph.preparing import Prepared, PrepareOptions, prepare
from edgeseg.graph.reading import GraphFile, read_graph
from edgeseg.spec import FrameOptions, InputSpec, ProfileSpec

PROFILE = ProfileSpec(minimum=(1, 8, 16), optimum=(1, 16, 24), maximum=(3, 32, 48), step_hw=(4, 4))
KERNEL = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
#: halves the image, enlarges that again by what follows
STEM = "a = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(image, kernel)"


class Case:
    """A graph of free sizes, and the same prepared at the profile's optimum."""

    def __init__(self, folder: Path, body: str, *, sides: str = "n, 3, h, w") -> None:
        proto = onnx.parser.parse_model(
            f'<ir_version: 9, opset_import: ["" : 19]> g (float[{sides}] image) => (float[n, c, p, q] scores) '
            "<int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] three = {3}, int64[1] four = {4}> "
            f"{{ {body} }}"
        )
        proto.graph.initializer.append(onnx.numpy_helper.from_array(KERNEL, "kernel"))
        for number, node in enumerate(proto.graph.node):
            node.name = node.name or f"{node.op_type.lower()}_{number}"
        path = folder / "net.onnx"
        onnx.save(proto, path)
        self.graph: GraphFile = read_graph(path)
        self.image: InputSpec = FrameOptions().input_spec(name="image", size_hw=PROFILE.optimum[1:])
        self.prepared: Prepared = self.at_all(PROFILE.optimum[1:])

    def at_all(self, size_hw: tuple[int, int]) -> Prepared:
        return prepare(self.graph, self.image, PrepareOptions(size_hw=size_hw, keep_tail=True))

    def opened(self, profile: ProfileSpec = PROFILE) -> Any:
        ready = self.prepared
        return opened(
            ready.model,
            image=ready.image,
            head=ready.head,
            profiles=(profile,),
            prepared_at=lambda size: self.at_all(size).model,
        )


def run(model: Any, images: np.ndarray) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    return np.asarray(session.run(None, {"image": images})[0])


#: of a graph that ends in a node behind the stem: what takes the place of the size in it
RULES = {
    "a resize by 2 keeps its scales": (
        f"{STEM} s = Shape(image) f = Constant<value_ints=[2, 3]>() hw = Gather(s, f) nc = Shape<end=2>(a) "
        'z = Concat<axis=0>(nc, hw) scores = Resize<mode="linear">(a, , , z)',
        [],
    ),
    "a resize to a sibling's size asks for that": (
        f"{STEM} p = GlobalAveragePool(a) s = Shape(a) z = Slice(s, two, four) nc = Shape<end=2>(p) "
        'y = Concat<axis=0>(nc, z) u = Resize<mode="nearest">(p, , , y) scores = Add(u, a)',
        ["Shape", "Shape", "Shape", "Shape"],
    ),
    "a reshape to tokens and back counts one side": (
        f"{STEM} s = Shape(a) n = Shape<end=1>(a) r = Constant<value_ints=[4, -1]>() "
        "t0 = Concat<axis=0>(n, r) t = Reshape(a, t0) x = Relu(t) scores = Reshape(x, s)",
        ["Shape", "Shape"],
    ),
    "a mean is expanded to the size of what it is added to": (
        f"{STEM} s = Shape(a) few = Constant<value_ints=[2, 3]>() m = ReduceMean<keepdims=1>(a, few) e = Expand(m, s) "
        "scores = Sub(a, e)",
        ["Shape", "Shape"],
    ),
    "a slice to half the height asks for that": (
        f"{STEM} s = Shape(a) h = Slice(s, two, three) k = Div(h, two) b = Slice(a, zero, k, two) "
        'f = Constant<value_floats=[1.0, 1.0, 2.0, 1.0]>() scores = Resize<mode="nearest">(b, , f)',
        ["Shape"],
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule(tmp_path: Path, rule: str) -> None:
    case = Case(tmp_path, RULES[rule][0])
    free = case.opened()
    assert [node.op_type for node in free.graph if node.op_type == "Shape"] == RULES[rule][1]
    for size in ((8, 16), (16, 24), (32, 48), (20, 36)):
        images = np.random.default_rng(2).normal(size=(3, 3, *size)).astype(np.float32)
        expected = [run(case.at_all(size).model, images[index : index + 1]) for index in range(3)]
        np.testing.assert_allclose(run(free, images), np.concatenate(expected), rtol=1e-5, atol=1e-5)


def test_the_sizes_between_tell_height_from_width_and_rounding_from_none() -> None:
    assert probed_sizes((PROFILE,)) == ((16, 24), (8, 16), (32, 48), (8, 48), (12, 20), (28, 44))


def test_a_net_that_needs_nothing_is_only_renamed_at_its_ends(tmp_path: Path) -> None:
    case = Case(tmp_path, "scores = Conv<pads=[1, 1, 1, 1]>(image, kernel)")
    free = case.opened()
    assert [node.op_type for node in free.graph] == ["Conv"]
    ends = [[str(side) for side in value.shape] for value in (*free.graph.inputs, *free.graph.outputs)]
    assert ends == [["batch", "3", "height", "width"], ["batch", "4", "scores_height", "scores_width"]]


def test_what_the_profile_does_not_open_stays_a_number(tmp_path: Path) -> None:
    case = Case(tmp_path, RULES["a resize by 2 keeps its scales"][0])
    wide = ProfileSpec(minimum=(1, 16, 8), optimum=(1, 16, 24), maximum=(1, 16, 48), step_hw=(4, 4))
    (image,), (scores,) = (case.opened(wide).graph.inputs, case.opened(wide).graph.outputs)
    assert [str(side) for side in image.shape] == ["1", "3", "16", "width"]
    assert [str(side) for side in scores.shape] == ["1", "4", "16", "scores_width"]


def test_a_resize_by_2_becomes_scales_that_float32_holds(tmp_path: Path) -> None:
    free = Case(tmp_path, RULES["a resize by 2 keeps its scales"][0]).opened()
    (resize,) = (node for node in free.graph if node.op_type == "Resize")
    assert constant_of(resize.inputs[2]).tolist() == [1.0, 1.0, 2.0, 2.0]


REFUSED = {
    "numbers for a width": (
        f"{STEM} s = Shape(a) w = Slice(s, three, four) q = Squeeze(w) z = Constant<value_int=0>() "
        "o = Constant<value_int=1>() r = Range(z, q, o) f = Cast<to=1>(r) scores = Add(a, f)",
        r"Add 'add_\d+' has .* for 16x24 and .* for 8x16, which does not follow from shapes at run time: build one",
    ),
    "a constant that stands for one image": (
        f"{STEM} k = ReduceSum<keepdims=1>(kernel, three) m = ReduceSum<keepdims=1>(k, two) "
        "f = Slice(m, zero, one, zero) p = GlobalAveragePool(a) c = Concat<axis=1>(p, f) "
        "s = Softmax<axis=1>(c) scores = Mul(s, s)",
        r"Concat 'concat_\d+' joins or mixes the images of a batch: take batches of 1",
    ),
    "a mean over the batch": (
        f"{STEM} m = ReduceMean<keepdims=1>(a, zero) scores = Sub(a, m)",
        r"ReduceMean 'reducemean_\d+' mixes the images of a batch, .*: take batches of 1",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_net_that_cannot_be_opened_is_refused_by_the_node(tmp_path: Path, what: str) -> None:
    body, told = REFUSED[what]
    with pytest.raises(BuildError, match=told):
        Case(tmp_path, body).opened()


def test_the_first_profile_has_the_size_that_the_net_was_prepared_at(tmp_path: Path) -> None:
    case = Case(tmp_path, "scores = Conv<pads=[1, 1, 1, 1]>(image, kernel)")
    with pytest.raises(ValueError, match="optimum"):
        case.opened(ProfileSpec(minimum=(1, 8, 8), optimum=(1, 8, 8), maximum=(1, 8, 8)))
