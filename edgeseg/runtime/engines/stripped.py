"""Own the weights that a stripped plan left out: their file, its check, and putting them back. Deserialise nothing."""

from __future__ import annotations

from pathlib import Path

from edgeseg.errors import EngineError, SpecError
from edgeseg.files import sha256_of_file
from edgeseg.runtime.preflight import build_command
from edgeseg.sidecars import weights_path
from edgeseg.spec import EngineSpec
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import ICudaEngine, OnnxParserRefitter, Refitter, TrtModule

__all__ = ["checked_weights", "refit"]

SHOWN_NAMES = 3


def checked_weights(engine_path: Path, spec: EngineSpec) -> Path | None:
    """The file beside a stripped engine that has its weights, after a look at its hash; None of a whole engine.

    Raises:
        SpecError: it is missing, or another file.
    """
    expected = spec.portability.weights_sha256
    if expected is None:
        return None
    path = weights_path(engine_path)
    redo = f"copy it along with the engine, or build that again with {build_command(spec, '--strip-plan')}"
    if not path.is_file():
        raise SpecError(f"{engine_path} was built without its weights, and {path.name} is not beside it", redo)
    found = sha256_of_file(path)
    if found != expected:
        raise SpecError(
            f"{path} has sha256 {found[:12]} where the engine's weights have {expected[:12]}: changed or exchanged",
            redo,
        )
    return path


def refit(api: TrtApi, engine: ICudaEngine, spec: EngineSpec, onnx_path: Path | None) -> None:
    """Put the weights back into the engine of a stripped plan; leave a whole one alone.

    Args:
        api: the package that loaded the engine.
        engine: without contexts.
        spec: its sidecar.
        onnx_path: what ``checked_weights`` gave.
    Raises:
        EngineError: no file, a package that cannot refit, or one that refuses; with the log's last lines.
    """
    if spec.portability.weights_sha256 is None:
        return
    module: TrtModule = api.module
    if onnx_path is None:
        raise EngineError("engine was built without its weights, and no file has them", "open it by its path")
    if not hasattr(module, "OnnxParserRefitter"):
        raise EngineError(
            f"engine was built without its weights, and {api.name} {api.version} reads no ONNX to put them back",
            f"pip install 'edgeseg[tensorrt]', or build a whole one with {build_command(spec, '--version-compatible')}",
        )
    refitter: Refitter = module.Refitter(engine, api.logger)
    parser: OnnxParserRefitter = module.OnnxParserRefitter(refitter, api.logger)
    if parser.refit_from_file(str(onnx_path)) and refitter.refit_cuda_engine():
        return
    missing: list[str] = refitter.get_missing_weights()
    left = f", {len(missing)} weights are missing: {', '.join(missing[:SHOWN_NAMES])}" if missing else ""
    raise EngineError(
        f"{api.name} {api.version} does not take the weights of {onnx_path}{left} ({api.log})",
        f"build the engine again with {build_command(spec, '--strip-plan')}",
    )
