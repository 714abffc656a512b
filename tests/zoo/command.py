"""Own `edgeseg` beside a torchvision that does not import. Add no command and no option.

torchvision's wheel is compiled for torch with CUDA. Beside a CPU build of torch its operators do not load, and the
package does not import because it gives two of them a meta kernel. No segmentation net calls them: named, they do.
"""

from __future__ import annotations

import sys

import torch

from edgeseg.cli.main import main

BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

__all__ = ["import_torchvision"]


def import_torchvision() -> None:
    """Import torchvision, its compiled operators by name only where they do not load."""
    try:
        import torchvision
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", BOXES)
        import torchvision  # noqa: F401


if __name__ == "__main__":
    import_torchvision()
    sys.exit(main())
