"""Own what PyTorch says: photographs, weights under which a net looks at them, logits and masks. Know no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["mask_of", "photographs", "pixels_of", "scores_of", "settle"]

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Frame = NDArray[np.uint8]


def photographs(size_hw: tuple[int, int]) -> list[Frame]:
    """scikit-image's free photographs, BGR, at the net's size: no camera frame has to be fitted."""
    folder = Path(skimage.data.__file__).parent
    frames = [cv2.imread(str(folder / name), cv2.IMREAD_COLOR) for name in PHOTOGRAPHS]
    return [cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_AREA) for frame in frames]


def pixels_of(frame_bgr: Frame) -> Tensor:
    """As every net here was made for: float32 RGB (1, 3, H, W), ImageNet's mean and deviation taken off."""
    rgb = frame_bgr[..., ::-1].astype(np.float32) / 255
    scaled = (rgb - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]


def settle(net: nn.Module, images: Tensor, *, classes: int) -> None:
    """Give a net of random weights the statistics of real pictures, so that its masks have many classes.

    BatchNorm takes its statistics from ``images``. Then every convolution that ends in ``classes`` channels is scaled
    and shifted, class by class, to scores of mean 0 and deviation 1: no class wins everywhere.

    Args:
        net: changed in place, left in evaluation mode.
        images: float32 (N, 3, H, W), N > 1.
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
    _standardise(net, images, classes)


def scores_of(net: nn.Module, image: Tensor) -> Tensor:
    """float32 (classes, H, W) at the size of ``image``, enlarged as the packages' own post-processing does."""
    with torch.no_grad():
        made = net(image)
        logits = made if isinstance(made, Tensor) else made["out" if "out" in made else "logits"]
        return nn.functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)[0]


def mask_of(scores: Tensor) -> NDArray[np.uint8]:
    """The best class of every pixel."""
    return scores.argmax(0).numpy().astype(np.uint8)


def _standardise(net: nn.Module, images: Tensor, classes: int) -> None:
    heads = [one for one in net.modules() if isinstance(one, nn.Conv2d) and one.out_channels == classes]
    scores: dict[nn.Module, Tensor] = {}
    with _watched(heads, scores.__setitem__), torch.no_grad():
        net(images)
    with torch.no_grad():
        for head, made in scores.items():
            deviation, mean = torch.std_mean(made, dim=(0, 2, 3))
            head.weight /= deviation[:, None, None, None]
            head.bias.sub_(mean).div_(deviation)


@contextmanager
def _watched(modules: list[nn.Conv2d], on_output: Callable[[nn.Module, Tensor], None]) -> Iterator[None]:
    hooks = [one.register_forward_hook(lambda module, _, output: on_output(module, output)) for one in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
