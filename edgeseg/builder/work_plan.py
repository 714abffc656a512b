"""Own in words what a build would do, found out without doing it. Write nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeseg.builder.backends.tensorrt.options import option_words
from edgeseg.builder.build_options import BuildOptions
from edgeseg.builder.known_ranges import range_words
from edgeseg.builder.measuring import calibration_path
from edgeseg.builder.preflight import Opened, Preflight, open_net, preflight
from edgeseg.builder.scores import for_layers
from edgeseg.sidecars import sidecar_path, weights_path
from edgeseg.spec import ProfileSpec

__all__ = ["work_plan"]

SHOWN_DIGITS = 12  # of a hash, as in every message


def work_plan(onnx_path: Path, engine_path: Path, options: BuildOptions) -> tuple[str, ...]:
    """What ``build_engine`` with the same arguments would do, a line each.

    Raises:
        What ``build_engine`` raises before the first image is run.
    """
    notes: list[str] = []
    begun = preflight(onnx_path, engine_path, options, note=notes.append)
    net = open_net(onnx_path, options, begun.backend, note=notes.append)
    return (
        *_net_lines(onnx_path, net, options, notes),
        f"precision: {net.kind}" + ("" if net.kind == net.high else f", the rest in {net.high}"),
        *_range_lines(net, options),
        *_search_lines(options, net),
        *_backend_lines(begun, options),
        *(f"profile {index}: {_profile_words(one)}" for index, one in enumerate(options.profiles)),
        *(f"memory: {line}" for line in net.memory.words()),
        *_verify_lines(options),
        f"would write: {', '.join(map(str, _files(onnx_path, engine_path, options, net)))}",
        f"build key: {begun.key[:SHOWN_DIGITS]}, {_outcome(engine_path, begun, options)}",
    )


def _net_lines(onnx_path: Path, net: Opened, options: BuildOptions, notes: list[str]) -> Iterator[str]:
    image, head = net.source.spec.input, net.source.spec.head
    dtype = head.dtype if head.decision == "ids" else options.scores
    yield f"net: {onnx_path}, {image.dtype} {image.shape} -> {dtype} {head.shape}"
    yield from (f"graph: {text}" for text in notes)


def _range_lines(net: Opened, options: BuildOptions) -> Iterator[str]:
    calibration = for_layers(net.source, net.kind, options.scores, options.calibration)
    yield f"ranges: {range_words(net.source, net.kind, calibration, options.source)}"
    images = options.calibration
    if options.scores == "int8" and images is not None:
        yield f"range of the scores: measured on {len(images.images())} images of {images.source}"


def _search_lines(options: BuildOptions, net: Opened) -> Iterator[str]:
    if options.kept:
        yield f"kept in {net.high}: {', '.join(options.kept)}"
    promise = options.promise
    if promise is not None and net.frames is not None:
        yield (
            f"search: at most {promise.max_miou_drop:g} points of mIoU below float32 on {len(net.frames)} frames of "
            f"{promise.data}, at most {promise.budget} trials"
        )


def _backend_lines(begun: Preflight, options: BuildOptions) -> Iterator[str]:
    machine = ", ".join(one for one in begun.backend.machine if one) or "no device here"
    yield f"back end: {begun.backend.name} {begun.backend.version}, {machine}"
    if options.tensorrt is not None:
        yield f"options: {option_words(options.tensorrt) or 'all left to TensorRT'}"


def _profile_words(profile: ProfileSpec) -> str:
    named = (("min", profile.minimum), ("opt", profile.optimum), ("max", profile.maximum))
    sizes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in named)
    return f"{sizes} (batch x height x width), in steps of {'x'.join(map(str, profile.step_hw))}"


def _verify_lines(options: BuildOptions) -> Iterator[str]:
    verify = options.verify
    if verify is None:
        return
    least = "" if verify.min_agreement is None else f", at least {verify.min_agreement * 100:g} % must agree"
    yield f"compare: with float32 on {len(verify.frames())} frames of {verify.source}{least}"


def _files(onnx_path: Path, engine_path: Path, options: BuildOptions, net: Opened) -> Iterator[Path]:
    yield from (engine_path, sidecar_path(engine_path))
    tensorrt = options.tensorrt
    if tensorrt is not None and tensorrt.is_stripped:
        yield weights_path(engine_path)
    if tensorrt is not None and tensorrt.timing_cache is not None:
        yield tensorrt.timing_cache
    calibration = options.calibration
    if calibration is not None and net.kind in ("int8", "fp8"):
        path = calibration.file or calibration_path(onnx_path)
        if not path.exists():
            yield path


def _outcome(engine_path: Path, begun: Preflight, options: BuildOptions) -> str:
    if begun.same is None:
        return "would be built"
    if options.is_forced:
        return f"would be built over {engine_path} of the same inputs"
    return f"would be skipped: {engine_path} is of the same inputs; --force builds it again"
