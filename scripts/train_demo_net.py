"""Own the demo net's training: its options, its accuracy, its checkpoint. Draw no scene and define no net.

    python scripts/train_demo_net.py [--steps N | --minutes M] [--out FILE]

Runs on the CPU. The scenes it trains on are drawn from seeds that the committed frames do not use; the 24 validation
frames are only measured at the end.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from scene_training import Schedule, draw_scenes, train
from torch import nn
from torch.nn import functional

import edgeseg.calib_data
from edgeseg.calib_data.classes import ClassId, class_name
from edgeseg.export.nets.demo_unet import INPUT_SIZE_HW, WEIGHTS_PATH, demo_unet
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.metrics import Accuracy, ConfusionMatrix
from edgeseg.spec import FrameOptions

NET_INPUT = FrameOptions().input_spec(name="image", size_hw=INPUT_SIZE_HW)
VALIDATION = Path(edgeseg.calib_data.__path__[0]) / "validation"


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


def parse_options() -> argparse.Namespace:
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
    return parser.parse_args()


def main() -> None:
    """Draw, train, measure, save."""
    options = parse_options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    start = time.monotonic()
    scenes = draw_scenes(options.scenes, size_hw=INPUT_SIZE_HW, seed=options.seed, threads=options.threads)
    print(f"drew {len(scenes.labels)} frames in {time.monotonic() - start:.0f} s", flush=True)
    net = demo_unet()
    for parameter in net.parameters():
        if parameter.dim() == 4:  # twice as fast in bfloat16
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    chosen = ("steps", "minutes", "batch", "peak_rate", "decay", "precision", "seed")
    steps = train(net, scenes, Schedule(**{name: getattr(options, name) for name in chosen}))
    accuracy = validate(net)
    save(net, options.out)
    for class_id, iou in zip(ClassId, accuracy.iou, strict=True):
        print(f"{class_name(class_id):>10}  IoU {iou:.4f}")
    print(f"{steps} steps, {time.monotonic() - start:.0f} s in all, mIoU {accuracy.miou:.4f}: {options.out}")


if __name__ == "__main__":
    main()
