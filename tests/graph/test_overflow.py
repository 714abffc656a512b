"""Which nodes 16 bits cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from precision_lab import CHANNELS, SIZE_HW, net, quantisation_of

from edgeseg.graph.overflow import LARGEST, MARGIN, SMALLEST_SCALE, ranked, too_wide
from edgeseg.graph.qdq import Quantisation

PIXELS = SIZE_HW[0] * SIZE_HW[1]


def names(model: Any, peaks: dict[str, float], kind: Any = "fp16", **options: Any) -> list[str]:
    return [one.name for one in too_wide(model, peaks, kind, **options)]


def test_small_numbers_fit() -> None:
    assert names(net(), {"a": 100.0, "b": LARGEST / MARGIN}) == []


def test_a_tensor_beyond_half_of_float16_keeps_its_maker_and_its_users_in_float32() -> None:
    found = too_wide(net(), {"b": LARGEST / MARGIN * 1.01}, "fp16")
    assert [one.name for one in found] == ["block", "add"]
    assert found[0].node == "Conv 'block'"
    assert found[0].reason.startswith("'b' reaches 3.31e+04")


def test_weights_beyond_float16_stay_float32() -> None:
    assert names(net(factors={"w_head": 1e6}), {}) == ["head"]


def test_infinite_constants_are_meant_to_be() -> None:
    """Masks of attention add minus infinity."""
    model = net("[n] logits = Add(image, minus)", {"minus": (3, *SIZE_HW)})
    tensor = ir.tensor(np.full((3, *SIZE_HW), -np.inf, np.float32), name="minus")
    model.graph.initializers["minus"].const_value = tensor
    assert names(model, {}) == []


@pytest.mark.parametrize(
    ("body", "peak", "is_wide"),
    [
        ("[n] logits = GlobalAveragePool(image)", LARGEST / MARGIN / PIXELS * 0.99, False),
        ("[n] logits = GlobalAveragePool(image)", LARGEST / MARGIN / PIXELS * 1.01, True),
        ("[n] logits = AveragePool<kernel_shape=[4, 4]>(image)", LARGEST / MARGIN / 16 * 1.01, True),
        ("[n] logits = AveragePool<kernel_shape=[4, 4]>(image)", LARGEST / MARGIN / 16 * 0.99, False),
        ("[n] logits = ReduceMean<keepdims=1>(image, axes)", LARGEST / MARGIN / SIZE_HW[1] * 1.01, True),
        ("[n] logits = ReduceL2<keepdims=1>(image, axes)", (LARGEST / MARGIN / SIZE_HW[1] * 1.01) ** 0.5, True),
        ("[n] logits = ReduceL2<keepdims=1>(image, axes)", (LARGEST / MARGIN / SIZE_HW[1] * 0.99) ** 0.5, False),
        ("[n] logits = InstanceNormalization(image, s, s)", (LARGEST / MARGIN / PIXELS * 1.01) ** 0.5, True),
        ("[n] logits = InstanceNormalization(image, s, s)", (LARGEST / MARGIN / PIXELS * 0.99) ** 0.5, False),
    ],
)
def test_sums_inside_a_node_count_as_numbers(body: str, peak: float, is_wide: bool) -> None:
    model = net(body, {"s": (3,)}, integers={"axes": 3})
    assert names(model, {"image": peak}) == (["n"] if is_wide else [])


def test_ranks_and_what_follows_them_stay_up_to_the_next_layer() -> None:
    body = """
        [stem] a = Conv<pads=[1, 1, 1, 1]>(image, w_stem)
        [rank] best, places = TopK<axis=3>(a, count)
        [scale] scaled = Relu(best)
        [next] c = Conv<pads=[1, 1, 1, 1]>(scaled, w_block)
        [after] logits = Relu(c)
    """
    shapes = {"w_stem": (CHANNELS, 3, 3, 3), "w_block": (CHANNELS, CHANNELS, 3, 3)}
    model = net(body, shapes, integers={"count": SIZE_HW[1]})
    assert ranked(model) == {"rank", "scale"}
    assert names(model, {}, "bf16") == ["rank", "scale"]


def test_bfloat16_reaches_as_far_as_float32() -> None:
    assert names(net(), {"b": 1e30}, "bf16") == []


def test_a_scale_that_float16_would_round_away_keeps_its_layer_in_float32() -> None:
    model = net()
    quantisation = quantisation_of(model)
    assert names(model, {}, quantisation=quantisation) == []
    scales = {**quantisation.scales, "k": np.float32(SMALLEST_SCALE * 0.9).reshape(())}
    tiny = Quantisation(kind="int8", sites=quantisation.sites, scales=scales)
    found = too_wide(model, {}, "fp16", quantisation=tiny)
    assert [one.name for one in found] == ["head"]
    assert "too small for float16" in found[0].reason
