"""Own the import of torchvision where its compiled operators do not load. Make no net.

Its wheel on PyPI is compiled for torch with CUDA. Beside a CPU build of torch it does not import, because it gives two
of its operators shapes. No segmentation net calls them: declared, they are enough.
"""

from __future__ import annotations

import torch

__all__ = ["torchvision"]

BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

try:
    import torchvision
except RuntimeError:
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", BOXES)
    import torchvision
