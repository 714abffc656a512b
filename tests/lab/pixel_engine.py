"""Own an engine for tests that needs no back end: the class of a pixel is its grey level, 0 for 0, 1 for 1, ..."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.runtime.engines.base import Engine
from edgeseg.runtime.session import Session
from edgeseg.spec import (
    ClassSpec,
    EngineSpec,
    HeadSpec,
    InputSpec,
    IOTensor,
    LabelSpec,
    ModelSpec,
    PrecisionSpec,
)

SIZE_HW = (24, 32)


def frame_of(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame, uint8 (H, W, 3), that a ``PixelEngine`` answers with ``mask``."""
    return np.repeat(mask[..., None], 3, axis=2)


def pixel_session(classes: int, *, ignore: int | None = None) -> Session:
    """A session of depth 1 on a ``PixelEngine``."""
    return Session(PixelEngine(classes, ignore=ignore), threads=1)


class PixelEngine(Engine):
    """Scores are 1 at the pixel's own level, else 0; frames of ``SIZE_HW`` come out exactly as they are."""

    scope = "engine"
    slots = 1

    def __init__(self, classes: int, *, ignore: int | None = None) -> None:
        names = tuple(ClassSpec(name=f"class {one}", colour=(one, 100, 200)) for one in range(classes))
        image = InputSpec(name="image", size_hw=SIZE_HW, mean=(0.0,) * 3, std=(1.0,) * 3)
        head = HeadSpec(output="scores", channels=classes, size_hw=SIZE_HW, decision="argmax")
        labels = LabelSpec(classes=names, ignore=ignore)
        self.spec = EngineSpec(
            model=ModelSpec(onnx_sha256="0" * 64, input=image, head=head, labels=labels),
            backend="openvino",
            backend_version="0",
            device="none",
            precision=PrecisionSpec(kind="fp32", high_precision="fp32"),
            io=(
                IOTensor(name="image", mode="input", shape=image.shape),
                IOTensor(name="scores", mode="output", shape=head.shape),
            ),
            plan_sha256="0" * 64,
            plan_bytes=0,
        )
        self._input = np.zeros(image.shape, np.float32)
        self._output = np.zeros(head.shape, np.float32)

    def host_input(self, slot: int) -> NDArray[Any]:
        return self._input

    def host_output(self, slot: int) -> NDArray[Any]:
        return self._output

    def start(self, slot: int) -> None:
        level = np.round(self._input[0, 0] * 255)
        self._output[0] = level == np.arange(self._output.shape[1])[:, None, None]

    def wait(self, slot: int) -> float:
        return 1.0

    def stages_ms(self, slot: int) -> dict[str, float]:
        return {"engine": 1.0}

    def close(self) -> None:
        pass
