"""Own the comparison of an ONNX graph with the PyTorch module it came from. Export nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ParityError
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.metrics import agreement
from edgeseg.packages import require
from edgeseg.spec import HeadSpec

__all__ = ["Parity", "check_parity"]

# FP32 in another order of additions: 1e-5 is usual, 1e-3 would be another operator
MAX_RELATIVE_ERROR = 1e-3
MIN_AGREEMENT = 0.999


@dataclass(frozen=True, kw_only=True)
class Parity:
    """ONNX (ONNX Runtime, FP32) against PyTorch on one frame, at the net's input size.

    ``relative_error`` is the largest difference of the logits over the largest PyTorch logit.
    """

    relative_error: float
    mask_agreement: float


def check_parity(onnx: bytes, tensor: NDArray[np.float32], expected: NDArray[np.float32], head: HeadSpec) -> Parity:
    """Run the graph on ``tensor`` and compare it with PyTorch's logits.

    Args:
        onnx: the serialised model.
        tensor: float32 NCHW.
        expected: float32 NCHW, what PyTorch made of ``tensor``.
        head: says how logits become a mask.
    Raises:
        ParityError: more than 0.1 % of the largest logit, or more than 0.1 % of the pixels differ.
    """
    runtime = require("onnxruntime")
    session = runtime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: tensor})
    difference = float(np.abs(logits - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    size_hw = (tensor.shape[2], tensor.shape[3])
    maker = MaskMaker(head)
    agreed = agreement(maker.mask(logits, size_hw=size_hw), maker.mask(expected, size_hw=size_hw))
    if not difference <= MAX_RELATIVE_ERROR or agreed < MIN_AGREEMENT:  # "not <=" catches NaN too
        raise ParityError(
            f"ONNX differs from PyTorch: logits by {difference:.2e} of the largest, {agreed:.4%} of the mask agree",
            "nothing was written; look for data-dependent code in forward()",
        )
    return Parity(relative_error=difference, mask_agreement=agreed)
