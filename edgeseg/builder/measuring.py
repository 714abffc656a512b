"""Own the way from a net and typical images to a Master: which ranges are needed, measured now or taken from a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edgeseg.builder.calibrating import Ranges, calibrate
from edgeseg.builder.calibration_file import (
    Calibration,
    CalibrationKey,
    differences,
    read_calibration,
    write_calibration,
)
from edgeseg.builder.master import Master
from edgeseg.builder.placing import placed
from edgeseg.builder.source import Source, SourceOptions
from edgeseg.data import CalibrationSet, Likeness, shipped_data
from edgeseg.errors import BuildError, OptionsError, OutputError
from edgeseg.files import sha256_of
from edgeseg.graph.overflow import ranked, too_wide
from edgeseg.graph.qdq import LARGEST_CODE, Quantisation, QuantisedKind, Scale, Site, weight_scales
from edgeseg.graph.saving import save_graph
from edgeseg.graph.shared_scales import shared
from edgeseg.imaging.preprocess import Frame
from edgeseg.spec import CalibrationMethod, PrecisionKind, PrecisionSpec

__all__ = [
    "CalibrationOptions",
    "Measured",
    "calibration_key",
    "calibration_path",
    "check_calibration",
    "check_writable",
    "image_name",
    "measured",
]

#: pictures by which a net without images of its own is looked at for float16
SAMPLE_IMAGES = 8
SHOWN_NODES = 3
DEFAULT_PERCENTILE = 99.99


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """On what, and how, ranges are measured.

    Attributes:
        source: images, as ``CalibrationSet`` takes them.
        every: take every n-th image or frame.
        skip_bad: pass over what cannot be read.
        method: ``max`` takes the largest magnitude; ``percentile`` the one that ``percentile`` % of the numbers stay
            under; ``entropy`` the one that loses the least information.
        percentile: for that method.
        file: where the result is kept and taken from; ``net.calibration.json`` beside the ONNX file without it.
    """

    source: Path
    every: int = 1
    skip_bad: bool = False
    method: CalibrationMethod = "max"
    percentile: float = DEFAULT_PERCENTILE
    file: Path | None = None

    def images(self) -> CalibrationSet:
        """The images, not yet read."""
        return CalibrationSet(self.source, every=self.every, skip_bad=self.skip_bad)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A net, and what the sidecar says of its calibration (the fields that begin so)."""

    master: Master
    calibration: PrecisionSpec


@dataclass(frozen=True, kw_only=True)
class _Watch:
    """Who is told of what."""

    on_image: Callable[[int, int], None]
    note: Callable[[str], None]


def calibration_path(onnx_path: Path) -> Path:
    """``net.onnx`` -> ``net.calibration.json``."""
    return onnx_path.with_suffix(".calibration.json")


def measured(
    source: Source,
    kind: PrecisionKind,
    calibration: CalibrationOptions | None,
    options: SourceOptions,
    *,
    on_image: Callable[[int, int], None] = lambda count, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Measure what a precision needs to be known of a net.

    Args:
        source: the net.
        kind: what the layers shall compute in.
        calibration: needed for int8 and fp8 of a net that is not quantised yet; possible for fp16, which otherwise
            looks at pictures of edgeseg's own; of no use for the others.
        options: that the source was opened with; a calibration holds for them alone.
        on_image: told how many images have been read, and of how many.
        note: told what was found.
    Raises:
        OptionsError: calibration is needed, or of no use.
        BuildError: the file is quantised to another kind.
        DataError: an image cannot be read.
        ModelError: a number of the net is not finite.
        MissingPackageError: onnxruntime or Model Optimizer is not installed.
    """
    check_calibration(source, kind, calibration)
    watch = _Watch(on_image=on_image, note=note)
    if kind == "int8" or kind == "fp8":
        if source.quantisation is not None:
            return _as_it_came(source, source.quantisation, kind)
        return _quantised(source, kind, _given(kind, calibration), options, watch)
    if kind == "fp16":
        return _as_told(source, source.precision) if source.precision else _for_float16(source, calibration, watch)
    return Measured(master=Master(model=source.model), calibration=PrecisionSpec(kind=kind, high_precision=kind))


def check_calibration(source: Source, kind: PrecisionKind, calibration: CalibrationOptions | None) -> None:
    """Refuse what ``measured`` would, before any image is read; its args and errors."""
    if source.quantisation is not None and kind in LARGEST_CODE and source.quantisation.kind != kind:
        raise BuildError(
            f"{source.path} is quantised to {source.quantisation.kind}, not to {kind}", "quantise the float32 net again"
        )
    is_quantised = source.quantisation is not None
    if calibration is not None and (is_quantised or kind in ("fp32", "bf16")):
        why = f"{source.path} is quantised already" if is_quantised else f"calibration images do nothing for {kind}"
        raise OptionsError(why, "leave --calib-data out")
    if not is_quantised and kind in LARGEST_CODE:
        _given(kind, calibration)


def _given(kind: PrecisionKind, calibration: CalibrationOptions | None) -> CalibrationOptions:
    if calibration is None:
        raise OptionsError(
            f"{kind} needs images to calibrate on", "give --calib-data FOLDER with about 32 typical frames"
        )
    return calibration


def check_writable(path: Path) -> None:
    """Raise OutputError before an hour's work where a calibration could not be kept after it."""
    folder = next(one for one in path.absolute().parents if one.exists())
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path} cannot be written", "choose another place with --calibration")


def _as_it_came(source: Source, quantisation: Quantisation, kind: QuantisedKind) -> Measured:
    told = source.precision or PrecisionSpec(kind=kind, high_precision="fp32")
    wide = frozenset(told.wide) | ranked(source.model)
    return Measured(
        master=Master(model=source.model, wide=wide, quantisation=quantisation),
        calibration=told,
    )


def _as_told(source: Source, told: PrecisionSpec) -> Measured:
    """The host has measured what float16 cannot hold."""
    wide = frozenset(told.wide) | ranked(source.model)
    return Measured(
        master=Master(model=source.model, wide=wide),
        calibration=msgspec.structs.replace(told, kind="fp16", high_precision="fp16", kept=(), search=None),
    )


def _quantised(
    source: Source, kind: QuantisedKind, calibration: CalibrationOptions, options: SourceOptions, watch: _Watch
) -> Measured:
    images = calibration.images()
    sites = placed(source.model, kind, apart=ranked(source.model))
    found = _calibrated(source, kind, calibration, options, images, sites, watch)
    largest = LARGEST_CODE[kind]
    thresholds = shared(source.model, {name: scale * largest for name, scale in found.scales.items()})
    scales: dict[str, Scale] = {name: np.float32(one / largest).reshape(()) for name, one in thresholds.items()}
    scales |= weight_scales(source.model, sites, kind)
    quantisation = Quantisation(kind=kind, sites=sites, scales=scales)
    master = _with_wide(source, found.peaks, quantisation, watch)
    return Measured(
        master=master,
        calibration=PrecisionSpec(
            kind=kind,
            high_precision="fp32",
            calibration_method=calibration.method,
            calibration_sha256=found.key.data_sha256,
            calibration_images=found.images,
        ),
    )


def _for_float16(source: Source, calibration: CalibrationOptions | None, watch: _Watch) -> Measured:
    """Without images of the user's, edgeseg's own show how far the numbers reach, as well as they can."""
    if calibration is not None:
        images = calibration.images()
    else:
        every = max(len(CalibrationSet(shipped_data())) // SAMPLE_IMAGES, 1)
        images = CalibrationSet(shipped_data(), every=every)
        watch.note("what float16 cannot hold is looked for with edgeseg's own pictures; --calib-data takes yours")
    unheard = _Watch(on_image=watch.on_image, note=lambda text: None)
    ranges = _ranges(source, images, (), "max", None, watch if calibration else unheard)
    master = _with_wide(source, ranges.peaks, None, watch)
    given = calibration is not None
    return Measured(
        master=master,
        calibration=PrecisionSpec(
            kind="fp16",
            high_precision="fp16",
            calibration_method="max" if given else None,
            calibration_sha256=images.sha256 if given else None,
            calibration_images=ranges.images if given else 0,
        ),
    )


def _with_wide(source: Source, peaks: Mapping[str, float], found: Quantisation | None, watch: _Watch) -> Master:
    wide = too_wide(source.model, peaks, "fp16", quantisation=found)
    told = [one for one in wide if one.name not in ranked(source.model)]
    for one in told[:SHOWN_NODES]:
        watch.note(f"float16 cannot hold {one.node}: {one.reason}; it stays in float32 there")
    if len(told) > SHOWN_NODES:
        watch.note(f"and {len(told) - SHOWN_NODES} nodes more stay in float32 where the rest is float16")
    return Master(model=source.model, wide=frozenset(one.name for one in wide), quantisation=found)


def _calibrated(
    source: Source,
    kind: QuantisedKind,
    calibration: CalibrationOptions,
    options: SourceOptions,
    images: CalibrationSet,
    sites: Sequence[Site],
    watch: _Watch,
) -> Calibration:
    """The record of the file if it is of all this, else a new one, which is then written there."""
    path = calibration.file or calibration_path(source.path)
    weights = weight_scales(source.model, sites, kind)
    tensors = tuple(dict.fromkeys(site.tensor for site in sites if site.tensor not in weights))
    key = calibration_key(source, kind, calibration, options, images, tensors)
    if path.exists():
        recorded = read_calibration(path)
        differing = differences(recorded.key, key)
        if not differing:
            watch.note(f"ranges are taken from {path} ({recorded.images} images)")
            return recorded
        watch.note(f"calibrated anew: in {path} differs {', '.join(differing)}")
    check_writable(path)
    ranges = _ranges(source, images, tensors, calibration.method, calibration.percentile, watch)
    for name in ranges.constant[:SHOWN_NODES]:
        watch.note(f"'{name}' has one value in all images: its range is a guess")
    record = Calibration.of(key, ranges)
    write_calibration(path, record)
    watch.note(f"ranges are kept in {path}")
    return record


def calibration_key(
    source: Source,
    kind: QuantisedKind,
    calibration: CalibrationOptions,
    options: SourceOptions,
    images: CalibrationSet,
    tensors: Sequence[str],
) -> CalibrationKey:
    """What a calibration depends on; the graph is that of the file, as the options prepare it."""
    spec = source.spec
    graph = (spec.onnx_sha256, spec.weights_sha256, vars(options.prepare))
    return CalibrationKey.now(
        graph_sha256=sha256_of(msgspec.json.encode(graph)),
        data_sha256=images.sha256,
        preprocessing=spec.input,
        method=calibration.method,
        percentile=calibration.percentile if calibration.method == "percentile" else None,
        kind=kind,
        tensors=tensors,
    )


def _ranges(
    source: Source,
    images: CalibrationSet,
    tensors: Sequence[str],
    method: CalibrationMethod,
    percentile: float | None,
    watch: _Watch,
) -> Ranges:
    likeness, total = Likeness(source.spec.input), len(images)

    def watched() -> Iterator[Frame]:
        for frame in images:
            likeness.see(frame)
            yield frame

    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        path = Path(folder) / "net.onnx"
        save_graph(source.model, path)
        ranges = calibrate(
            path,
            source.spec.input,
            watched(),
            tensors,
            method=method,
            percentile=percentile if percentile is not None else DEFAULT_PERCENTILE,
            on_image=lambda count: watch.on_image(count, total),
            name_of=lambda index: image_name(images, index),
        )
    for path, reason in images.skipped:
        watch.note(f"passed over: {path}, {reason}")
    for text in likeness.warnings():
        watch.note(f"warning: {text}")
    return ranges


def image_name(images: CalibrationSet, index: int) -> str:
    """An image as messages name it: by its file where each is read, else by its number."""
    is_each = len(images.paths) > index and not images.skip_bad
    return str(images.paths[index]) if is_each else f"image {index + 1}"
