"""Own what the tests of the export share: one call that exports a net into the test's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FRAME_BGR = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)

Export = Callable[..., Any]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """``export(net, **options)``: writes net.onnx into ``tmp_path``; 16x32 unless ``size_hw`` says otherwise."""
    pytest.importorskip("torch")
    from edgeseg.export.onnx_export import ExportOptions, export_model
    from edgeseg.imaging.palettes import labels_for
    from edgeseg.spec import FrameOptions

    def call(source: Any, *, inside_bytes: int = 1_800_000_000, **options: Any) -> Any:
        options.setdefault("size_hw", (16, 32))
        frame = FrameOptions(mean=(0.5,) * 3, std=(0.25,) * 3)
        return export_model(
            source,
            tmp_path / "net.onnx",
            ExportOptions(frame=frame, **options),
            labels=labels_for,
            sample_bgr=FRAME_BGR,
            inside_bytes=inside_bytes,
        )

    return call


@pytest.fixture
def refused(export: Export, tmp_path: Path) -> Callable[..., str]:
    """``refused(net, **options)``: the message of the refusal, after which nothing may lie in ``tmp_path``."""
    from edgeseg.errors import EdgesegError

    def call(source: Any, **options: Any) -> str:
        with pytest.raises(EdgesegError) as caught:
            export(source, **options)
        assert list(tmp_path.iterdir()) == []
        return str(caught.value)

    return call
