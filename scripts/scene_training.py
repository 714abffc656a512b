"""Own the training on synthetic scenes: frames, augmentation, loss, schedule. Define no net, write no file."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgeseg.calib_data.generate import STILL_SIZE_WH, TRAINING_BLOCK, block_seed
from edgeseg.calib_data.scene import random_scene
from edgeseg.spec import FrameOptions

__all__ = ["Scenes", "Schedule", "draw_scenes", "train"]

MOMENTS_PER_SCENE = 3
LAST_MOMENT_S = 16.0
GREY_OF_RGB = (0.299, 0.587, 0.114)  # cv2's, and so the runtime's
AUXILIARY_WEIGHT = 0.4  # Zhao et al., Pyramid Scene Parsing Network (2017), section 3.3

Bytes = NDArray[np.uint8]
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Scenes:
    """Frames uint8 (N, H, W, 3) BGR and their labels uint8 (N, H, W)."""

    frames_bgr: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a net is trained; ``minutes`` is the wall time and, when given, replaces ``steps``."""

    steps: int
    minutes: float | None = None
    batch: int = 4
    peak_rate: float = 3e-3
    decay: float = 1e-2
    precision: str = "bf16"
    seed: int = 0
    frame: FrameOptions = field(default_factory=FrameOptions)


def draw_scenes(count: int, *, size_hw: tuple[int, int], seed: int, threads: int) -> Scenes:
    """Draw training scenes, three moments each, from seeds that the committed frames do not use."""
    draw = partial(_scene_frames, size_hw=size_hw, set_seed=seed)
    # Spawned, not forked: torch's and OpenCV's threads do not survive a fork.
    with ProcessPoolExecutor(threads, mp_context=get_context("spawn")) as pool:
        drawn = list(pool.map(draw, range(count), chunksize=4))
    frames, labels = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return Scenes(torch.from_numpy(frames), torch.from_numpy(labels))


def scores_loss(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """``segmentation_loss`` of what the net makes of images: logits, or those and auxiliary ones in a tuple."""
    made = net(images)
    main, *auxiliary = made if isinstance(made, tuple) else (made,)
    loss = segmentation_loss(main.float(), labels)
    for one in auxiliary:
        loss = loss + AUXILIARY_WEIGHT * segmentation_loss(one.float(), labels)
    return loss


def train(
    net: Net, scenes: Scenes, schedule: Schedule, loss_of: Callable[[Net, Tensor, Tensor], Tensor] = scores_loss
) -> int:
    """Fit the net and return the steps taken; it is left in training mode.

    Args:
        net: changed in place.
        scenes: as large as the net's input.
        schedule: see Schedule.
        loss_of: of the net, images float32 (N, channels, H, W) and their labels int64 (N, H, W); a float32 number.
    """
    random = torch.Generator().manual_seed(schedule.seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=schedule.peak_rate, weight_decay=schedule.decay)
    start, step, order = time.monotonic(), 0, torch.zeros(0, dtype=torch.long)
    while (progress := _progress(step, start, schedule)) < 1:
        if len(order) < schedule.batch:
            order = torch.randperm(len(scenes.labels), generator=random)
        chosen, order = order[: schedule.batch], order[schedule.batch :]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, schedule.peak_rate)
        images = augmented(scenes.frames_bgr[chosen], schedule.frame, random)
        with torch.autocast("cpu", torch.bfloat16, enabled=schedule.precision == "bf16"):
            loss = loss_of(net, images, scenes.labels[chosen].long())
        _descend(net, optimizer, loss)
        if step % 100 == 0:
            seconds, shown = time.monotonic() - start, float(loss.detach())
            print(f"step {step:5d}  {100 * progress:3.0f} %  loss {shown:.4f}  {seconds:4.0f} s", flush=True)
        step += 1
    return step


def augmented(frames_bgr: Tensor, frame: FrameOptions, random: torch.Generator) -> Tensor:
    """Vary light and colour a little and normalise: uint8 (N, H, W, 3) BGR to float32 (N, channels, H, W)."""
    rgb = frames_bgr.flip(-1).permute(0, 3, 1, 2).float() / 255
    count = len(rgb)

    def draw(channels: int, spread: float) -> Tensor:
        return torch.randn((count, channels, 1, 1), generator=random) * spread

    gain = (1 + draw(1, 0.1)) * (1 + draw(3, 0.04))
    grey = rgb.mean(dim=1, keepdim=True)
    varied = ((grey + (rgb - grey) * (1 + draw(1, 0.12))) * gain + draw(1, 0.03)).clamp(0, 1)
    if frame.colour == "GRAY":
        varied = (varied * torch.tensor(GREY_OF_RGB)[:, None, None]).sum(dim=1, keepdim=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in (frame.mean, frame.std))
    return ((varied - mean) / std).contiguous(memory_format=torch.channels_last)


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy plus soft Dice over the batch; Dice keeps the small classes' overlap in view.

    Args:
        logits: float32 (N, C, h, w), enlarged here to the labels' size as the runtime does it.
        labels: int64 (N, H, W).
    """
    full = functional.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)
    entropy = functional.cross_entropy(full, labels)
    share = full.softmax(dim=1)
    right = share.gather(1, labels[:, None]).flatten()
    hits = torch.zeros(full.shape[1]).index_add(0, labels.flatten(), right)
    total = share.sum(dim=(0, 2, 3)) + torch.bincount(labels.flatten(), minlength=full.shape[1])
    return entropy + 0.5 * (1 - ((2 * hits + 1) / (total + 1)).mean())


def learning_rate(progress: float, peak: float) -> float:
    """Warm up over the first 5 %, then fall along a cosine to zero; `progress` is 0-1."""
    if progress < 0.05:
        return peak * (progress / 0.05 + 0.02)
    return float(peak * 0.5 * (1 + np.cos(np.pi * (progress - 0.05) / 0.95)))


def _scene_frames(index: int, *, size_hw: tuple[int, int], set_seed: int) -> tuple[Bytes, Bytes]:
    cv2.setNumThreads(1)
    seed = block_seed(set_seed, TRAINING_BLOCK, index)
    scene, rng = random_scene(seed), np.random.default_rng((seed, 1))
    frames, labels = [], []
    for time_s in rng.uniform(0, LAST_MOMENT_S, MOMENTS_PER_SCENE):
        frame_bgr, label = scene.render(float(time_s), size_wh=STILL_SIZE_WH)
        frames.append(cv2.resize(frame_bgr, size_hw[::-1], interpolation=cv2.INTER_LINEAR))
        labels.append(cv2.resize(label, size_hw[::-1], interpolation=cv2.INTER_NEAREST))
    return np.stack(frames).astype(np.uint8), np.stack(labels).astype(np.uint8)


def _progress(step: int, start: float, schedule: Schedule) -> float:
    if schedule.minutes is None:
        return step / schedule.steps
    return (time.monotonic() - start) / (60 * schedule.minutes)


def _descend(net: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
