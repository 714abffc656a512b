"""Own two nets that lose their masks in few bits, made of the trained demo net. Train and quantise nothing.

    edgeseg export scripts/hard_net.py:hard_net -o out/hard.onnx --input-size 256x512 --labels calib_data/labels.json

and ``pedestal_net`` likewise: the weights are in them.

In float32 both give the demo net's masks. ``hard_net`` gives nonsense in INT8, on account of three of its sixteen
convolutions, and is well in FP16. ``pedestal_net`` gives nonsense in FP16 and BF16, though its numbers are small; in
INT8 it is well on FP32, for Model Optimizer quantises no layer of so few channels as its last.

What training does, and ``hardened`` does here by hand: ReLU lets a channel be multiplied by any factor if the next
layer divides it by the same. The loss does not change, so nothing holds the factor back, and channels drift apart. It
is seen where a BatchNorm is folded whose channel had a tiny variance, for the folded weights are divided by its root;
it is the rule in depthwise nets, whose filters see one channel each (Sheng et al. 2018, A Quantization-Friendly
Separable Convolution for MobileNets, section 3). One scale for the tensor then serves its loudest channels, and the
others get a code or two; the weights behind the loud ones are small, and round to nothing beside the others. No
calibration mends that whole: a threshold that suits the quiet channels clips the loud ones, and both carry the classes.
Cross-layer equalisation (Nagel et al. 2019, Data-Free Quantization, section 4.1) is what is run backwards here.

What pictures do, and ``on_pedestal`` does here by hand: features of counts, of kelvins or of metres above the sea
stand on a constant far above their differences, until a mean is taken off that is not folded into the layer before it
(InstanceNorm, LayerNorm, a difference of two maps). 11 bits of FP16 hold the constant and little of the differences.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import nn

from edgeseg.export.nets.demo_unet import WEIGHTS_PATH, ConvBlock, demo_unet

__all__ = ["HITS", "Hit", "culprits", "hard_net", "hardened", "on_pedestal", "pedestal_net", "trained_demo_net"]

#: who reads a block's output where one layer alone does; the others' feed additions, or several layers
READERS = {
    "stem.0": "stem.1",
    "down4.0": "down4.1",
    "down8.0": "down8.1",
    "down16.0": "down16.1",
    "down16.1": "down16.2",
    "down16.2": "up8.match",
    "up8.conv": "up4.match",
    "up4.conv": "up2.match",
    "up2.conv": "head",
}


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A block whose output is driven apart.

    Attributes:
        block: one of ``READERS``.
        every: of the channels, in the order of what they give to the next layer, the first and every n-th behind it.
        factor: what they are multiplied by; a power of two, so that float32 loses nothing.
    """

    block: str
    every: int = 4
    factor: float = 128.0

    def __post_init__(self) -> None:
        if self.block not in READERS:
            raise ValueError(f"block is {self.block!r}; expected one that a single layer reads: {', '.join(READERS)}")
        if self.factor <= 0 or math.frexp(self.factor)[0] != 0.5:
            raise ValueError(f"factor is {self.factor}; expected a power of two, such as 128")
        if self.every < 1:
            raise ValueError(f"every is {self.every}; expected at least 1")


#: Neither the first layers nor the last, so that no rule of thumb finds them. Mean IoU on the 24 labelled frames, CPU:
#: 87.48 % in FP32; in INT8 by max, entropy and 99.99 % of the values 5.65, 76.68 and 12.11 %; 87.39 % or more with the
#: three readers left in FP32, and by max between 27 and 50 % with two of them.
HITS = (Hit(block="down4.0"), Hit(block="up8.conv"), Hit(block="up4.conv"))


def hard_net() -> nn.Module:
    """The trained demo net, in evaluation mode, its channels driven apart at ``HITS``."""
    return hardened(trained_demo_net())


def pedestal_net() -> nn.Module:
    """The trained demo net, in evaluation mode, its logits on a pedestal inside: mean IoU 87.48 %, in FP16 34 %."""
    return on_pedestal(trained_demo_net())


def trained_demo_net() -> nn.Module:
    """With the shipped weights, in evaluation mode, on the CPU."""
    net = demo_unet()
    net.load_state_dict(load_file(WEIGHTS_PATH))
    return net.eval()


@torch.no_grad()
def hardened(net: nn.Module, hits: Sequence[Hit] = HITS) -> nn.Module:
    """Multiply channels, and divide the weights that read them by the same.

    Args:
        net: a demo net of any width; it is left as it is.
        hits: where, and how much.

    Returns:
        A copy whose logits are the net's, bit by bit where the order of additions is the same.
    """
    net = copy.deepcopy(net)
    for hit in hits:
        block, reader = net.get_submodule(hit.block), _convolution(net, READERS[hit.block])
        assert isinstance(block, ConvBlock)
        loud = _weights_of_channels(block, reader).argsort(descending=True)[:: hit.every]
        block[1].weight[loud] *= hit.factor
        block[1].bias[loud] *= hit.factor
        reader.weight[:, loud] /= hit.factor
    return net


def culprits(hits: Sequence[Hit] = HITS) -> tuple[str, ...]:
    """The weights of the layers that must not be quantised, by their names in the state dict and in the ONNX graph."""
    readers = [READERS[hit.block] for hit in hits]
    return tuple("head.weight" if name == "head" else f"{name}.0.weight" for name in readers)


@torch.no_grad()
def on_pedestal(net: nn.Module, *, height: float = 256.0, step: float = 64.0) -> nn.Module:
    """Let the logits leave the last layer divided by ``step`` and ``height`` higher, and put a layer behind it.

    Args:
        net: a demo net of any width; it is left as it is.
        height: a power of two; float16 has steps of height / 1024 there, float32 of height / 2**23.
        step: so many logits become 1; a power of two. At 256 and 64 a step of float16 is 16 logits, of float32 0.002.

    Returns:
        A copy whose logits are the net's but for a few such steps of float32.
    """
    net = copy.deepcopy(net)
    head = _convolution(net, "head")
    assert head.bias is not None
    head.weight /= step
    head.bias.copy_(head.bias / step + height)
    classes = head.out_channels
    lowered = nn.Conv2d(classes, classes, 1)
    lowered.weight.copy_(torch.eye(classes)[:, :, None, None] * step)
    lowered.bias.copy_(torch.full((classes,), -height * step))
    net.head = nn.Sequential(head, lowered)
    return net.eval()


def _convolution(net: nn.Module, name: str) -> nn.Conv2d:
    found = net.get_submodule(name)
    found = found[0] if isinstance(found, ConvBlock) else found
    assert isinstance(found, nn.Conv2d)
    return found


def _weights_of_channels(block: ConvBlock, reader: nn.Conv2d) -> torch.Tensor:
    """How much each channel gives to the next layer: its size behind BatchNorm, times that of its weights there."""
    size = (block[1].weight.square() + block[1].bias.square()).sqrt()
    return size * reader.weight.square().sum((0, 2, 3)).sqrt()
