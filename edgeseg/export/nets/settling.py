"""Own the settling of a net with random weights, so that its masks look at the pictures. Train nothing.

Freshly made nets give one class everywhere: their masks prove nothing and compare nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["settle"]

Head = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def settle(net: nn.Module, images: Tensor, *, classes: int) -> None:
    """Give a net of random weights the statistics of real pictures, so that its masks have many classes.

    BatchNorm takes its statistics from ``images``. Then every convolution that ends in ``classes`` channels, one after
    another, is scaled and shifted, class by class, to scores of mean 0 and deviation 1: no class wins everywhere. A
    linear layer, which names boxes, to the deviation log(``classes``), with which the best of any number of classes
    often has a probability above 1/2, as detectors ask for.

    Args:
        net: changed in place, left in evaluation mode.
        images: float32 (N, channels, H, W), N > 1.
        classes: a number that no inner layer has.
    """
    norms = [one for one in net.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    net.eval()
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # an average of all that pass, here once
        one.train()
    with torch.no_grad():
        net(images)
    net.eval()
    for head in _outputs_of(net, images, [one for one in net.modules() if _makes(one, classes)]):
        _standardise(head, _outputs_of(net, images, [head])[head])


def _makes(module: nn.Module, classes: int) -> bool:
    """A deconvolution of classes to classes only enlarges."""
    if isinstance(module, nn.ConvTranspose2d):
        return module.out_channels == classes != module.in_channels
    if isinstance(module, nn.Linear):
        return module.out_features == classes
    return isinstance(module, nn.Conv2d) and module.out_channels == classes


def _standardise(head: nn.Module, made: Tensor) -> None:
    assert isinstance(head, Head)
    deviation, mean = torch.std_mean(made, dim=[axis for axis in range(made.ndim) if axis != 1])
    deviation = deviation.clamp(min=1e-6)
    if isinstance(head, nn.Linear):
        deviation = deviation / math.log(made.shape[1])
    axis = 1 if isinstance(head, nn.ConvTranspose2d) else 0  # of the outputs
    with torch.no_grad():
        head.weight /= deviation.reshape([-1 if one == axis else 1 for one in range(head.weight.ndim)])
        if head.bias is not None:
            head.bias.sub_(mean).div_(deviation)


def _outputs_of(net: nn.Module, images: Tensor, modules: list[nn.Module]) -> dict[nn.Module, Tensor]:
    """In the order in which they were first called, of all calls."""
    outputs: dict[nn.Module, list[Tensor]] = {}
    with _watched(modules, lambda module, made: outputs.setdefault(module, []).append(made)), torch.no_grad():
        net(images)
    return {module: torch.cat(made) for module, made in outputs.items()}


@contextmanager
def _watched(modules: list[nn.Module], on_output: Callable[[nn.Module, Tensor], object]) -> Iterator[None]:
    hooks = [one.register_forward_hook(lambda module, _, output: on_output(module, output)) for one in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
