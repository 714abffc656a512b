"""The hard nets: right in float32, wrong in few bits, and which layers are to blame. Rounding is PyTorch's here.

No back end and no calibration of ours takes part, so that what they make of these nets is not judged by themselves.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from hard_net import (  # noqa: E402
    READERS,
    Hit,
    culprits,
    hard_net,
    hardened,
    pedestal_net,
    trained_demo_net,
)

from edgeseg.calib_data.classes import ClassId  # noqa: E402
from edgeseg.data import CalibrationSet, LabelledSet, shipped_data  # noqa: E402
from edgeseg.export.nets.demo_unet import INPUT_SIZE_HW, demo_unet  # noqa: E402
from edgeseg.imaging.palettes import labels_for  # noqa: E402
from edgeseg.imaging.preprocess import Preprocessor  # noqa: E402
from edgeseg.metrics import ConfusionMatrix  # noqa: E402
from edgeseg.spec import FrameOptions  # noqa: E402

PROMISE, DISASTER = 0.5, 10.0  # points of mIoU
#: float32: logits around 10 that were added in another order
ROUNDING = 1e-4
#: float32's half step between 256 and 512, in 33 additions to the pedestal and 9 behind it, times the 64 logits of 1
PEDESTAL_ROUNDING = (33 + 9) * 2.0**-16 * 64
MASK_ROUNDING = 1e-3  # share of the pixels whose two best logits lie closer than that; measured: 5e-5


@pytest.fixture(scope="module")
def frames() -> Any:
    """Every eighth labelled frame, as the net takes it; and its labels at the logits' size."""
    chosen = [*LabelledSet(shipped_data())][::8]
    height, width = INPUT_SIZE_HW
    labels = [cv2.resize(one.label, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST) for one in chosen]
    return batch([one.bgr for one in chosen]), np.stack(labels)


@pytest.fixture(scope="module")
def calibration() -> Any:
    """Every sixteenth of the calibration frames."""
    return batch([*CalibrationSet(shipped_data())][::16])


@pytest.fixture(scope="module")
def demo_points(frames: Any) -> float:
    """The demo net's in float32."""
    return points(trained_demo_net(), frames)


def batch(frames_bgr: list[Any]) -> Any:
    preprocessor = Preprocessor(FrameOptions().input_spec(name="image", size_hw=INPUT_SIZE_HW))
    return torch.cat([torch.from_numpy(preprocessor.tensor(one).copy()) for one in frames_bgr])


def points(net: Any, frames: Any) -> float:
    """Mean IoU in percent, at the logits' size."""
    images, labels = frames
    matrix = ConfusionMatrix(len(ClassId))
    for label, mask in zip(labels, logits(net, images).argmax(1), strict=True):
        matrix.add(label, mask.to(torch.uint8).numpy())
    return 100 * matrix.accuracy().miou


@torch.inference_mode()
def logits(net: Any, images: Any) -> Any:
    return net(images)


def layers(net: Any) -> dict[str, Any]:
    """By the name of their weights."""
    return {f"{name}.weight": one for name, one in net.named_modules() if isinstance(one, torch.nn.Conv2d)}


def folded(net: Any) -> Any:
    """With BatchNorm in the weights, as every graph is before it is quantised."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in net.modules():
        if isinstance(block, torch.nn.Sequential) and len(block) == 3 and isinstance(block[1], torch.nn.BatchNorm2d):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), torch.nn.Identity()
    return net


@torch.no_grad()
def in_int8(net: Any, calibration: Any, *, kept: Collection[str] = ()) -> Any:
    """Inputs by one scale a tensor, of its largest magnitude; weights by one a channel; ``kept`` as they are."""
    chosen = {name: layer for name, layer in layers(folded(net)).items() if name not in kept}
    peaks = peaks_of_inputs(net, calibration)
    for name, layer in chosen.items():
        layer.weight.copy_(to_int8(layer.weight, layer.weight.abs().amax((1, 2, 3), keepdim=True)))
        layer.register_forward_pre_hook(lambda _, given, name=name: to_int8(given[0], peaks[name]))
    return net


def peaks_of_inputs(net: Any, images: Any) -> dict[str, Any]:
    """The largest magnitude that enters each layer."""
    peaks = dict[str, Any]()
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: peaks.update({name: given[0].abs().max()}))
        for name, layer in layers(net).items()
    ]
    logits(net, images)
    for hook in hooks:
        hook.remove()
    return peaks


def to_int8(values: Any, peak: Any) -> Any:
    scale = peak.clamp(min=1e-12) / 127
    return (values / scale).round().clamp(-128, 127) * scale


@torch.no_grad()
def in_float16(net: Any) -> Any:
    """Weights and what leaves a layer in float16, added in float32, as a GPU does it."""
    for layer in layers(folded(net)).values():
        layer.weight.copy_(layer.weight.half())
        layer.register_forward_hook(lambda _, __, made: made.half().float())
    return net


def test_driven_apart_a_net_s_logits_are_what_they_were(frames: Any) -> None:
    expected, found = logits(trained_demo_net(), frames[0][:1]), logits(hard_net(), frames[0][:1])
    torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)
    assert torch.equal(found.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("block", READERS)
def test_every_block_with_one_reader_can_be_driven_apart(block: str) -> None:
    torch.manual_seed(1)
    net, image = demo_unet(width=16).eval(), torch.rand(1, 3, 32, 64)
    hard = hardened(net, [Hit(block=block, every=1, factor=2.0**20)])
    torch.testing.assert_close(logits(hard, image), logits(net, image), rtol=0, atol=ROUNDING)
    (culprit,) = culprits([Hit(block=block)])
    assert not torch.equal(hard.state_dict()[culprit], net.state_dict()[culprit])


def test_culprits_have_their_names_in_the_graph_too(tmp_path: Path) -> None:
    pytest.importorskip("onnx_ir")
    from edgeseg.export.onnx_export import ExportOptions, export_model
    from edgeseg.graph.reading import read_graph
    from edgeseg.graph.simplifying import simplified

    sample_bgr = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    options = ExportOptions(size_hw=(32, 64))
    export_model(demo_unet(width=16), tmp_path / "net.onnx", options, labels=labels_for, sample_bgr=sample_bgr)
    graph = simplified(read_graph(tmp_path / "net.onnx").model).graph
    weights = {node.inputs[1].name for node in graph if node.op_type == "Conv"}
    assert {*culprits([Hit(block=block) for block in READERS])} < weights
    assert len(weights) == 16


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"block": "stem.1"}, r"block is 'stem\.1'; expected one that a single layer reads: stem\.0, "),
        ({"block": "up8.conv", "factor": 100.0}, r"factor is 100\.0; expected a power of two"),
        ({"block": "up8.conv", "factor": -2.0}, r"factor is -2\.0"),
        ({"block": "up8.conv", "every": 0}, "every is 0; expected at least 1"),
    ],
)
def test_a_hit_that_would_change_the_net_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Hit(**wrong)


def test_the_demo_net_keeps_its_masks_in_int8(frames: Any, calibration: Any, demo_points: float) -> None:
    assert points(in_int8(trained_demo_net(), calibration), frames) > demo_points - PROMISE


def test_the_hard_net_loses_them_in_int8_and_three_of_sixteen_layers_bring_them_back(
    frames: Any, calibration: Any, demo_points: float
) -> None:
    assert (len(culprits()), len(layers(hard_net()))) == (3, 16)
    assert points(in_int8(hard_net(), calibration), frames) < demo_points - DISASTER
    assert points(in_int8(hard_net(), calibration, kept=culprits()), frames) > demo_points - PROMISE


@pytest.mark.parametrize("left", culprits())
def test_none_of_the_three_layers_can_be_left_in_int8(
    left: str, frames: Any, calibration: Any, demo_points: float
) -> None:
    kept = {*culprits()} - {left}
    assert points(in_int8(hard_net(), calibration, kept=kept), frames) < demo_points - DISASTER


def test_the_hard_net_keeps_its_masks_in_float16(frames: Any, demo_points: float) -> None:
    assert points(in_float16(hard_net()), frames) > demo_points - PROMISE


def test_a_pedestal_leaves_float32_s_masks_as_they_were(frames: Any) -> None:
    expected, found = logits(trained_demo_net(), frames[0][:1]), logits(pedestal_net(), frames[0][:1])
    torch.testing.assert_close(found, expected, rtol=0, atol=PEDESTAL_ROUNDING)
    assert (found.argmax(1) != expected.argmax(1)).float().mean() < MASK_ROUNDING


def test_a_pedestal_takes_the_masks_from_float16_though_all_its_numbers_are_small(
    frames: Any, demo_points: float
) -> None:
    net, peaks = in_float16(pedestal_net()), list[float]()
    for layer in layers(net).values():
        layer.register_forward_hook(lambda _, __, made: peaks.append(float(made.abs().max())))
    assert points(net, frames) < demo_points - DISASTER
    assert max(peaks) < 512
