"""Own in words where the ranges of a build come from, as far as that is known before any image is run. Run none."""

from __future__ import annotations

import msgspec

from edgeseg.builder.calibration_file import CalibrationKey, differences, read_calibration
from edgeseg.builder.measuring import CalibrationOptions, calibration_key, calibration_path, check_writable
from edgeseg.builder.source import Source, SourceOptions
from edgeseg.spec import PrecisionKind

__all__ = ["range_words"]


def range_words(
    source: Source, kind: PrecisionKind, calibration: CalibrationOptions | None, options: SourceOptions
) -> str:
    """Which images are run, or what makes that needless.

    Which tensors get a scale is not asked of Model Optimizer here: it follows from the graph, the precision and the
    libraries, which are compared.

    Args:
        source: the net.
        kind: of the layers.
        calibration: ``check_calibration`` has let it pass.
        options: that the source was opened with.
    Raises:
        OutputError: the calibration could not be kept.
        SpecError: the file at its place is no calibration.
        DataError: an image cannot be read.
    """
    if kind == "int8" or kind == "fp8":
        if source.quantisation is not None or calibration is None:
            return f"those that {source.path.name} holds"
        path, images = calibration.file or calibration_path(source.path), calibration.images()
        wanted = calibration_key(source, kind, calibration, options, images, ())
        if not path.exists():
            check_writable(path)
            return f"measured on {len(images)} images of {calibration.source} ({calibration.method}), kept in {path}"
        recorded = read_calibration(path)
        differing = differences(recorded.key, _with_tensors_of(recorded.key, wanted))
        if not differing:
            return f"taken from {path} ({recorded.images} images, {recorded.key.method})"
        check_writable(path)
        return f"measured anew on {len(images)} images of {calibration.source}: in {path} differs {differing[0]}"
    if kind != "fp16":
        return f"{kind} needs none"
    if source.precision is not None:
        return f"what float16 cannot hold is said beside {source.path.name}"
    whose = f"{len(calibration.images())} images of {calibration.source}" if calibration else "edgeseg's own pictures"
    return f"what float16 cannot hold is looked for with {whose}"


def _with_tensors_of(recorded: CalibrationKey, wanted: CalibrationKey) -> CalibrationKey:
    return msgspec.structs.replace(wanted, tensors_sha256=recorded.tensors_sha256)
