"""Own the demo net's training: scenes, schedule, loss, checkpoint. Draw no scene and define no net.

    python scripts/train_demo_net.py [--steps N | --minutes M] [--out FILE]

Runs on the CPU. The scenes it trains on are drawn from seeds that the committed frames do not use; the 24 validation
frames are only measured at the end.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

import edgeseg.calib_data
from edgeseg.calib_data.classes import ClassId, class_name
from edgeseg.calib_data.generate import STILL_SIZE_WH, TRAINING_BLOCK, block_seed
from edgeseg.calib_data.scene import random_scene
from edgeseg.export.nets.demo_unet import INPUT_SIZE_HW, WEIGHTS_PATH, demo_unet
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.metrics import Accuracy, ConfusionMatrix
from edgeseg.spec import InputSpec

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NET_INPUT = InputSpec(name="image", size_hw=INPUT_SIZE_HW, mean=IMAGENET_MEAN, std=IMAGENET_STD)
VALIDATION = Path(edgeseg.calib_data.__path__[0]) / "validation"
MOMENTS_PER_SCENE = 3
LAST_MOMENT_S = 16.0

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says; `minutes` is the training's wall time and, when given, replaces `steps`."""

    steps: int
    minutes: float | None
    scenes: int
    batch: int
    peak_rate: float
    decay: float
    precision: str
    threads: int
    seed: int
    out: Path


def scene_frames(index: int, *, set_seed: int) -> tuple[Bytes, Bytes]:
    """Draw one training scene at `MOMENTS_PER_SCENE` moments, at the net's input size.

    Returns:
        Frames uint8 (M, 256, 512, 3) BGR and labels uint8 (M, 256, 512).
    """
    cv2.setNumThreads(1)
    seed = block_seed(set_seed, TRAINING_BLOCK, index)
    scene, rng = random_scene(seed), np.random.default_rng((seed, 1))
    size_wh = INPUT_SIZE_HW[::-1]
    frames, labels = [], []
    for time_s in rng.uniform(0, LAST_MOMENT_S, MOMENTS_PER_SCENE):
        frame_bgr, label = scene.render(float(time_s), size_wh=STILL_SIZE_WH)
        frames.append(cv2.resize(frame_bgr, size_wh, interpolation=cv2.INTER_LINEAR))
        labels.append(cv2.resize(label, size_wh, interpolation=cv2.INTER_NEAREST))
    return np.stack(frames).astype(np.uint8), np.stack(labels).astype(np.uint8)


def draw_scenes(options: Options) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw all training scenes: frames uint8 (N, 256, 512, 3) BGR and labels uint8 (N, 256, 512)."""
    draw = partial(scene_frames, set_seed=options.seed)
    # Spawned, not forked: torch's and OpenCV's threads do not survive a fork.
    with ProcessPoolExecutor(options.threads, mp_context=get_context("spawn")) as pool:
        drawn = list(pool.map(draw, range(options.scenes), chunksize=4))
    frames, labels = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return torch.from_numpy(frames), torch.from_numpy(labels)


def augment(frames_bgr: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Vary light and colour a little and normalise: uint8 (N, H, W, 3) BGR to float32 (N, 3, H, W) RGB."""
    rgb = frames_bgr.flip(-1).permute(0, 3, 1, 2).float() / 255
    count = len(rgb)

    def draw(channels: int, spread: float) -> torch.Tensor:
        return torch.randn((count, channels, 1, 1), generator=random) * spread

    gain = (1 + draw(1, 0.1)) * (1 + draw(3, 0.04))
    grey = rgb.mean(dim=1, keepdim=True)
    varied = ((grey + (rgb - grey) * (1 + draw(1, 0.12))) * gain + draw(1, 0.03)).clamp(0, 1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((varied - mean) / std).contiguous(memory_format=torch.channels_last)


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy plus soft Dice over the batch; Dice keeps the small classes' overlap in view.

    Args:
        logits: float32 (N, C, H / 2, W / 2), upsampled here as the runtime does it.
        labels: int64 (N, H, W).
    """
    full = functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
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


def train(net: nn.Module, frames: torch.Tensor, labels: torch.Tensor, options: Options) -> int:
    """Fit the net and return the steps taken; it is left in training mode."""
    random = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.peak_rate, weight_decay=options.decay)
    start, step, order = time.monotonic(), 0, torch.zeros(0, dtype=torch.long)
    while (progress := _progress(step, start, options)) < 1:
        if len(order) < options.batch:
            order = torch.randperm(len(frames), generator=random)
        chosen, order = order[: options.batch], order[options.batch :]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, options.peak_rate)
        loss = _step(net, optimizer, augment(frames[chosen], random), labels[chosen].long(), options)
        if step % 100 == 0:
            print(
                f"step {step:5d}  {100 * progress:3.0f} %  loss {loss:.4f}  {time.monotonic() - start:4.0f} s",
                flush=True,
            )
        step += 1
    return step


def _progress(step: int, start: float, options: Options) -> float:
    if options.minutes is None:
        return step / options.steps
    return (time.monotonic() - start) / (60 * options.minutes)


def _step(
    net: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor, options: Options
) -> float:
    with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
        logits = net(images)
    loss = segmentation_loss(logits.float(), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def validate(net: nn.Module) -> Accuracy:
    """Measure the net, in FP32, on the committed validation frames at their own size, one confusion matrix over all."""
    net.eval()
    preprocessor, matrix = Preprocessor(NET_INPUT), ConfusionMatrix(len(ClassId))
    for path in sorted((VALIDATION / "images").glob("*.jpg")):
        frame_bgr = np.asarray(cv2.imread(str(path)), np.uint8)
        label = np.asarray(cv2.imread(str(VALIDATION / "labels" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED), np.uint8)
        logits = net(torch.from_numpy(preprocessor.tensor(frame_bgr)))
        full = functional.interpolate(logits, size=label.shape, mode="bilinear", align_corners=False)
        matrix.add(label, full.argmax(dim=1)[0].to(torch.uint8).numpy())
    return matrix.accuracy()


def save(net: nn.Module, path: Path) -> None:
    """Write the weights, float32 and contiguous, without optimizer state."""
    weights = {name: value.detach().contiguous() for name, value in net.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, str(path), metadata={"net": "edgeseg.export.nets.demo_unet:demo_unet"})


def parse_options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the demo net on synthetic streets, on the CPU.")
    parser.add_argument("--steps", type=int, default=2400, help="optimizer steps (default %(default)s)")
    parser.add_argument("--minutes", type=float, help="train for this wall time instead of a number of steps")
    parser.add_argument("--scenes", type=int, default=480, help="scenes to draw, 3 frames each (default %(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="frames a step (default %(default)s)")
    parser.add_argument("--peak-rate", type=float, default=3e-3, help="highest learning rate (default %(default)s)")
    parser.add_argument("--decay", type=float, default=1e-2, help="AdamW's weight decay (default %(default)s)")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16",
                        help="of convolutions; fp32 where the CPU lacks bfloat16 (default %(default)s)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of scenes, weights and order (default %(default)s)")
    parser.add_argument("--out", type=Path, default=WEIGHTS_PATH, help="checkpoint (default: the shipped one)")
    return Options(**vars(parser.parse_args()))


def main() -> None:
    """Draw, train, measure, save."""
    options = parse_options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    start = time.monotonic()
    frames, labels = draw_scenes(options)
    print(f"drew {len(frames)} frames in {time.monotonic() - start:.0f} s", flush=True)
    net = demo_unet()
    for parameter in net.parameters():
        if parameter.dim() == 4:  # twice as fast in bfloat16
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    steps = train(net, frames, labels, options)
    accuracy = validate(net)
    save(net, options.out)
    for class_id, iou in zip(ClassId, accuracy.iou, strict=True):
        print(f"{class_name(class_id):>10}  IoU {iou:.4f}")
    print(f"{steps} steps, {time.monotonic() - start:.0f} s in all, mIoU {accuracy.miou:.4f}: {options.out}")


if __name__ == "__main__":
    main()
