"""Own the built-in nets that are trained briefly on synthetic scenes: how, and where their weights are kept.

Export, build and judge none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from detection_training import train_detector
from net_lab import SEED
from scene_training import Scenes, Schedule, draw_scenes, train
from torch import nn

from edgeseg.data import shipped_data
from edgeseg.export.catalogue import BuiltIn
from edgeseg.export.loading import load_net
from edgeseg.sidecars import read_labels

__all__ = [
    "DETECTOR",
    "SHALLOW",
    "TRAINED_STEPS",
    "TRAINED_WIDTH",
    "TRAININGS",
    "TRAINING_SCENES",
    "Training",
    "trained_net",
]

BUILD = Path(__file__).parents[1] / "build"
TRAINED_WIDTH, TRAINED_STEPS, TRAINING_SCENES = 0.25, 600, 160
PEAK_RATE = 1e-3  # nets without BatchNorm diverge above it


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a net's training differs from the others'; with ``weights_of`` it takes another net's weights instead."""

    size_hw: tuple[int, int] = (96, 192)
    arguments: Mapping[str, object] = field(default_factory=dict)
    fit: Callable[[Any, Scenes, Schedule], int] = train
    weights_of: str | None = None


#: half as many blocks learn more in the same time
SHALLOW = Training(arguments={"backbone": "resnet50"})
#: anchors are 32 pixels wide at least, a frame has 30 instances, and few steps leave right ones improbable
DETECTOR = {"level_proposals": 300, "detections": 100, "score": 0.2}
TRAININGS = {
    "deeplab-v1-crf": Training(weights_of="deeplab-v1"),  # a CRF is applied after the training
    "deeplab-v2-crf": Training(weights_of="deeplab-v2"),
    "deeplab-v3": SHALLOW,
    "deeplab-v3-cascade": SHALLOW,
    "deeplab-v3-plus": SHALLOW,
    "refinenet": SHALLOW,
    "mask-rcnn": Training(size_hw=(192, 384), arguments=DETECTOR, fit=train_detector),
}


def trained_net(built_in: BuiltIn, training: Training) -> nn.Module:
    """In evaluation mode; weights are kept in build/, so that an interrupted run goes on."""
    weights = BUILD / "trained" / f"{training.weights_of or built_in.name}.pt"
    classes = len(read_labels(shipped_data() / "labels.json").classes)
    torch.manual_seed(SEED)
    net = load_net(built_in.name, {"width": TRAINED_WIDTH, "num_classes": classes, **training.arguments}).net
    assert isinstance(net, nn.Module)
    if weights.exists():
        net.load_state_dict(torch.load(weights), strict=False)  # a CRF has constants beside them
        return net.eval()
    schedule = Schedule(steps=TRAINED_STEPS, peak_rate=PEAK_RATE, frame=built_in.frame)
    training.fit(net.train(), training_scenes(training.size_hw), schedule)
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), weights)
    return net.eval()


def training_scenes(size_hw: tuple[int, int]) -> Scenes:
    """Drawn once for every size, kept in build/."""
    path = BUILD / f"scenes-{size_hw[0]}x{size_hw[1]}.pt"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        scenes = draw_scenes(TRAINING_SCENES, size_hw=size_hw, seed=0, threads=2)
        torch.save({"frames_bgr": scenes.frames_bgr, "labels": scenes.labels}, path)
    return Scenes(**torch.load(path))
