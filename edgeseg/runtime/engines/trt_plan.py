"""Own a plan's way into TensorRT: its runtime, the deserialised engine and the check of its tensors. Run nothing."""

from __future__ import annotations

from collections.abc import Sequence

from edgeseg.errors import EngineError
from edgeseg.runtime.preflight import build_command, rebuild
from edgeseg.spec import EngineSpec, IOTensor
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import ICudaEngine, Runtime, TrtModule

__all__ = ["check_tensors", "deserialise", "make_runtime", "tensor_names"]

#: NumPy's names of TensorRT's data types
DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}


def make_runtime(api: TrtApi, spec: EngineSpec) -> Runtime:
    """Create TensorRT's Runtime as an engine needs it; ask for a working driver first.

    Raises:
        EngineError: there is none, or the engine's DLA core is not here.
    """
    module: TrtModule = api.module
    try:
        runtime: Runtime = module.Runtime(api.logger)
    except TypeError as error:  # pybind's word for a factory that returned null
        raise EngineError(f"{api.name} {api.version} gives no runtime ({api.log})", "check the CUDA driver") from error
    # A version-compatible plan brings code that runs in this process. Its sha256 is the one that the builder wrote into
    # the sidecar (read_engine_spec), so it is as trustworthy as the plan's kernels are, which run anyway.
    if spec.portability.lean != "none":
        runtime.engine_host_code_allowed = True
    if spec.dla is not None:
        _take_dla(runtime, spec, spec.dla.core)
    return runtime


def _take_dla(runtime: Runtime, spec: EngineSpec, core: int) -> None:
    cores: int = runtime.num_DLA_cores
    if core >= cores:
        having = f"has {cores} (0 to {cores - 1})" if cores else "has none"
        other = build_command(spec, "--dla-core", "0") if cores else build_command(spec)
        raise EngineError(f"engine was built for DLA core {core}, this device {having}", f"build it here with {other}")
    runtime.DLA_core = core


def deserialise(api: TrtApi, runtime: Runtime, plan: bytes, spec: EngineSpec) -> ICudaEngine:
    """Turn a plan into an engine.

    Raises:
        EngineError: TensorRT-RTX calls the plan invalid, or nothing came of it; with the log's last lines.
    """
    module: TrtModule = api.module
    if hasattr(runtime, "get_engine_validity") and hasattr(module, "EngineValidity"):  # TensorRT-RTX only
        validity, diagnostics = runtime.get_engine_validity(plan)
        if validity == module.EngineValidity.INVALID:
            reasons = _diagnostics(module, diagnostics) or str(api.log)
            raise EngineError(f"{api.name} {api.version} calls the engine invalid here ({reasons})", rebuild(spec))
    engine: ICudaEngine | None = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{api.name} {api.version} cannot load the engine ({api.log})", rebuild(spec))
    return engine


def _diagnostics(module: TrtModule, bits: int) -> str:
    if not hasattr(module, "EngineInvalidityDiagnostics"):
        return ""
    members = module.EngineInvalidityDiagnostics.__members__
    return ", ".join(name for name, member in members.items() if int(member) & int(bits))


def tensor_names(engine: ICudaEngine) -> list[str]:
    """Of all inputs and outputs."""
    return [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]


def check_tensors(api: TrtApi, engine: ICudaEngine, spec: EngineSpec) -> None:
    """Hold the engine's tensors against the sidecar's, since host buffers are made from the latter.

    More outputs than the sidecar names are allowed; more inputs are not, for nothing would fill them.

    Raises:
        EngineError: they differ, or the sidecar contradicts itself.
    """
    # The lean runtime's bindings lack the class: there get_tensor_format raises TypeError (10.3.0, 11.4.0.106).
    has_formats = hasattr(api.module, "TensorFormat")
    found = {_describe(api.module, engine, name, has_formats=has_formats) for name in tensor_names(engine)}
    expected = {_line(io.mode, io.name, io.dtype, io.format if has_formats else "", io.shape) for io in spec.io}
    inputs = [line for line in found if line.startswith("input")]
    if not expected <= found or len(inputs) != 1:
        raise EngineError(
            f"engine has {'; '.join(sorted(found))} where its sidecar says {'; '.join(sorted(expected))}", rebuild(spec)
        )
    model = spec.model
    for name, dtype, shape in (
        (model.input.name, model.input.dtype, model.input.shape),
        (model.head.output, model.head.dtype, model.head.shape),
    ):
        if not any(_is_that(io, name, dtype, shape) for io in spec.io):
            raise EngineError(
                f"the sidecar's model has '{name}' {dtype} {_sides(shape)}, its tensors are "
                + "; ".join(sorted(expected)),
                rebuild(spec),
            )


def _is_that(io: IOTensor, name: str, dtype: str, shape: tuple[int, ...]) -> bool:
    if (io.name, io.dtype, len(io.shape)) != (name, dtype, len(shape)):
        return False
    return all(side in (-1, wanted) for side, wanted in zip(io.shape, shape, strict=True))


def _describe(module: TrtModule, engine: ICudaEngine, name: str, *, has_formats: bool) -> str:
    is_input = engine.get_tensor_mode(name) == module.TensorIOMode.INPUT
    dtype: str = engine.get_tensor_dtype(name).name
    layout: str = engine.get_tensor_format(name).name.lower() if has_formats else ""
    shape = tuple(engine.get_tensor_shape(name))
    return _line("input" if is_input else "output", name, DTYPES.get(dtype, dtype), layout, shape)


def _line(mode: str, name: str, dtype: str, layout: str, shape: Sequence[int]) -> str:
    told = "" if layout in ("", "linear") else f" {layout}"
    return f"{mode} '{name}' {dtype}{told} {_sides(shape)}"


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
