"""Own sidecars as files: where they lie, reading with every check, writing with what they describe. Know no field."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from edgeseg.errors import SpecError
from edgeseg.files import read_file, sha256_of, sha256_of_file, write_together
from edgeseg.spec import EngineSpec, LabelSpec, ModelSpec

__all__ = [
    "read_engine_spec",
    "read_labels",
    "read_model_spec",
    "sidecar_bytes",
    "sidecar_path",
    "weights_path",
    "write_with_sidecar",
]

Spec = TypeVar("Spec", ModelSpec, EngineSpec, LabelSpec)


def sidecar_path(path: Path) -> Path:
    """``net.onnx`` -> ``net.json``; any other file has ``.json`` added: ``net.engine`` -> ``net.engine.json``."""
    return path.with_suffix(".json") if path.suffix == ".onnx" else path.with_name(path.name + ".json")


def write_with_sidecar(path: Path, data: bytes, spec: ModelSpec | EngineSpec, *, weights: bytes | None = None) -> None:
    """Write a file, its sidecar (indented JSON) and a stripped plan's weights: all appear whole, or none.

    The weights of a stripped plan that was there go with it.

    Args:
        path: of the file.
        data: what it holds.
        spec: what its sidecar says.
        weights: the ONNX file that ``weights_path`` names; None for what has its weights inside.
    Raises:
        OutputError: the folder cannot be written, or the device is full.
    """
    files = [(path, data), (sidecar_path(path), sidecar_bytes(spec))]
    left_over = weights is None and _has_own_weights(path)
    write_together([*files, (weights_path(path), weights)] if weights is not None else files)
    if left_over:
        weights_path(path).unlink()


def _has_own_weights(engine_path: Path) -> bool:
    """Whether the file where weights would lie is that of the engine which is there, by its sidecar."""
    path = weights_path(engine_path)
    try:
        old = msgspec.json.decode(sidecar_path(engine_path).read_bytes(), type=EngineSpec)
        return old.portability.weights_sha256 == sha256_of_file(path)
    except (OSError, msgspec.DecodeError):
        return False


def weights_path(engine_path: Path) -> Path:
    """Where a stripped plan's weights are: ``net.engine`` -> ``net.engine.onnx``."""
    return engine_path.with_name(engine_path.name + ".onnx")


def sidecar_bytes(spec: ModelSpec | EngineSpec) -> bytes:
    """What a sidecar file holds: indented JSON."""
    return msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n"


def read_model_spec(onnx_path: Path, *, sha256: str, weights_sha256: str | None = None) -> ModelSpec:
    """Read the sidecar of an ONNX file and check that they belong together.

    Args:
        onnx_path: the ONNX file.
        sha256: of it.
        weights_sha256: of the weights beside it, if it keeps them there.
    Raises:
        SpecError: the sidecar is missing, malformed, or describes another file.
    """
    path = sidecar_path(onnx_path)
    make_it = "the sidecar is written by 'edgeseg export'; run it, or copy the sidecar along"
    spec = _decode(read_file(path, error=SpecError, make_it=make_it), ModelSpec, path)
    redo = "run 'edgeseg export' again"
    _check_hash(path, onnx_path, recorded=spec.onnx_sha256, found=sha256, redo=redo)
    recorded, found = spec.weights_sha256 or "none", weights_sha256 or "none"
    _check_hash(path, f"the weights of {onnx_path}", recorded=recorded, found=found, redo=redo)
    return spec


def read_engine_spec(engine_path: Path) -> tuple[EngineSpec, bytes]:
    """Read an engine file and its sidecar, and check size and hash before anything deserialises it.

    Returns:
        The sidecar and the plan's bytes.
    Raises:
        SpecError: a file is missing or malformed, or they do not belong together.
    """
    if engine_path.suffix == ".onnx":
        raise SpecError(f"{engine_path} is a net and no engine", f"build one: edgeseg build-engine {engine_path}")
    redo = "build it again with 'edgeseg build-engine'"
    plan = read_file(engine_path, error=SpecError, make_it=redo)
    path = sidecar_path(engine_path)
    spec = _decode(read_file(path, error=SpecError, make_it=redo), EngineSpec, path)
    if len(plan) != spec.plan_bytes:
        raise SpecError(
            f"{engine_path} has {len(plan)} bytes where {path.name} says {spec.plan_bytes}: cut short or exchanged",
            redo,
        )
    _check_hash(path, engine_path, recorded=spec.plan_sha256, found=sha256_of(plan), redo=redo)
    return spec, plan


def read_labels(path: Path) -> LabelSpec:
    """Read classes: ``{"ignore": 255, "classes": [{"name": "road", "colour": [128, 64, 128]}, ...]}``."""
    return _decode(read_file(path, error=SpecError), LabelSpec, path)


def _decode(data: bytes, kind: type[Spec], path: Path) -> Spec:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:  # ValidationError is one too
        raise SpecError(f"{path} is not a valid sidecar ({error})", "mend it, or make it again") from error


def _check_hash(sidecar: Path, what: Path | str, *, recorded: str, found: str, redo: str) -> None:
    if found != recorded:
        raise SpecError(
            f"{what} has sha256 {found[:12]} where {sidecar.name} says {recorded[:12]}: changed or exchanged", redo
        )
