"""Own the reference of an evaluation: an ONNX file in FP32 on the CPU, ready to run. Judge nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.source import ReadyModel, SourceOptions
from edgeseg.errors import SpecError
from edgeseg.graph.preparing import PrepareOptions
from edgeseg.runtime.session import Session
from edgeseg.sidecars import sidecar_path
from edgeseg.spec import FrameOptions, ModelSpec

__all__ = ["reference_session"]


def reference_session(onnx_path: Path, *, like: ModelSpec, note: Callable[[str], None] = lambda text: None) -> Session:
    """Build an ONNX file for the CPU in FP32, in a folder that is gone afterwards, and open it.

    Args:
        onnx_path: with ``.json`` beside it, or of any origin.
        like: what frames and classes mean to a file that has no sidecar.
        note: told what was done to the graph.
    Returns:
        A session of depth 1; the caller closes it.
    Raises:
        ModelError, SpecError, BuildError, MissingPackageError: as ``build_engine``.
        SpecError: no sidecar, and ``like`` takes uint8: its normalisation is within the engine.
    """
    options = BuildOptions(backend="openvino", precision="fp32", source=_source(onnx_path, like))
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        path = Path(folder) / "reference.engine"
        build_engine(onnx_path, path, options, note=note)
        return Session(path, depth=1)


def _source(onnx_path: Path, like: ModelSpec) -> SourceOptions:
    if sidecar_path(onnx_path).exists():
        return SourceOptions()
    image = like.input
    if image.dtype == "uint8":
        raise SpecError(
            f"{onnx_path} has no sidecar, and the engine's uint8 input does not tell how to normalise",
            "write the sidecar with 'edgeseg export', or copy it along",
        )
    frame = FrameOptions(
        colour=image.colour,
        mean=image.mean,
        std=image.std,
        resize=image.resize,
        interpolation=image.interpolation,
        pad_value=image.pad_value,
    )
    return SourceOptions(
        prepare=PrepareOptions(size_hw=image.size_hw), ready=ReadyModel(frame=frame, classes=len(like.labels.classes))
    )
