"""Own the hash of all that decides a build, and whether an engine that is there is that build. Build nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from edgeseg import __version__
from edgeseg.builder.backends.base import BuilderBackend
from edgeseg.builder.build_options import BuildOptions
from edgeseg.errors import SpecError
from edgeseg.files import sha256_of, sha256_of_file
from edgeseg.graph.reading import read_hashes
from edgeseg.sidecars import read_engine_spec, sidecar_path, weights_path
from edgeseg.spec import EngineSpec

__all__ = ["build_key", "same_build"]

SHOWN_DIGITS = 12  # of a hash, as in every message
#: what simplifies, quantises and measures a graph; their versions are read without importing them
LIBRARIES = ("nvidia-modelopt", "onnx", "onnx-ir", "onnxruntime", "onnxslim")


def build_key(onnx_path: Path, options: BuildOptions, backend: BuilderBackend) -> str:
    """Hash of the contents that go in, of what is asked for, and of the machine that builds; names do not count.

    Nothing is calibrated, and the graph is neither checked nor changed.

    Args:
        onnx_path: the net; its weights and its sidecar count where it has them.
        options: all but ``is_forced``.
        backend: that will build.
    Returns:
        Hex SHA-256, the same in another process and another folder.
    Raises:
        ModelError: no ONNX file, or its weights are missing.
        DataError: no such images, or one cannot be read.
    """
    given = {
        "edgeseg": __version__,
        "libraries": {name: _version(name) for name in LIBRARIES},
        "backend": (backend.name, backend.version, backend.machine),
        "onnx": read_hashes(onnx_path),
        "sidecar": _hash_of(sidecar_path(onnx_path)),
        "precision": options.precision,
        "kept": sorted(set(options.kept)),
        "profiles": options.profiles,
        "scores": options.scores,
        "prepare": _told(options.source.prepare),
        **_ready(options),
        **_data(options),
        **_tensorrt(options),
    }
    return sha256_of(msgspec.json.encode(given, order="deterministic"))


def _ready(options: BuildOptions) -> dict[str, Any]:
    ready = options.source.ready
    if ready is None:
        return {}
    labels = None if ready.labels is None else _hash_of(ready.labels)
    return {"ready": (_told(ready, "labels", "frame"), _told(ready.frame)), "labels": labels}


def _data(options: BuildOptions) -> dict[str, Any]:
    """Of images their contents; where a calibration is kept does not count, what is in it follows from the rest."""
    calibration, promise, verify = options.calibration, options.promise, options.verify
    found: dict[str, Any] = {}
    if calibration is not None:
        found["calibration"] = (calibration.images().sha256, _told(calibration, "source", "file"))
    if promise is not None:
        found["promise"] = (promise.labelled().sha256, _told(promise, "data"))
    if verify is not None:
        found["verify"] = (verify.frames().sha256, _told(verify, "source"))
    return found


def _tensorrt(options: BuildOptions) -> dict[str, Any]:
    """Without the timing cache, which shortens a build; options that are all left alone are none."""
    if options.tensorrt is None:
        return {}
    given = dataclasses.replace(options.tensorrt, timing_cache=None, is_timing_cache_editable=False)
    return {} if given == type(given)() else {"tensorrt": vars(given)}


def _told(options: Any, *without: str) -> dict[str, Any]:
    """The fields of a dataclass but for paths: one that is not named here is refused by the encoder."""
    return {one.name: getattr(options, one.name) for one in dataclasses.fields(options) if one.name not in without}


def _hash_of(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:  # whoever needs it says so
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def same_build(engine_path: Path, key: str, note: Callable[[str], None]) -> EngineSpec | None:
    """The sidecar of the engine that is there, if that is whole and of ``key``; a damaged one is told to ``note``."""
    if not engine_path.exists() and not sidecar_path(engine_path).exists():
        return None
    try:
        spec, _ = read_engine_spec(engine_path)
        _check_weights(engine_path, spec)
    except SpecError as error:
        note(f"not as it was built: {error.what}")
        return None
    return spec if spec.build_key == key else None


def _check_weights(engine_path: Path, spec: EngineSpec) -> None:
    expected, path = spec.portability.weights_sha256, weights_path(engine_path)
    if expected is None:
        return
    found = _hash_of(path) or "none"
    if found != expected:
        raise SpecError(f"{path} has sha256 {found[:SHOWN_DIGITS]} where {expected[:SHOWN_DIGITS]} is expected")
