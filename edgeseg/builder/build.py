"""Own the order of a build: open, measure, set the precision, build, write. Do none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgeseg.builder.backends import BuilderBackend, open_backend
from edgeseg.builder.backends.base import Built, Progress
from edgeseg.builder.build_options import BuildOptions, VerifyOptions
from edgeseg.builder.master import Master
from edgeseg.builder.measuring import measured
from edgeseg.builder.plans import build_master, described, engine_spec
from edgeseg.builder.preflight import Opened, open_net, preflight
from edgeseg.builder.promise import choose_kept, kept_words
from edgeseg.builder.scores import for_layers, scored
from edgeseg.builder.trials import trials_path
from edgeseg.builder.verifying import Fresh, verified
from edgeseg.runtime.engine_facts import facts_of
from edgeseg.sidecars import write_with_sidecar
from edgeseg.spec import EngineSpec, HeadSpec, PrecisionSpec

__all__ = ["BuildOptions", "VerifyOptions", "build_engine"]

CALIBRATE = "calibrate"
REACH = "range of scores"
Note = Callable[[str], None]


def build_engine(
    onnx_path: Path,
    engine_path: Path,
    options: BuildOptions,
    *,
    progress: Progress = lambda fraction, step: None,
    note: Callable[[str], None] = lambda text: None,
) -> EngineSpec:
    """Build ``engine_path`` and its sidecar out of an ONNX file.

    Args:
        onnx_path: with ``.json`` beside it, or of any origin.
        engine_path: written at the end, whole, or not at all; left as it is where it is of the same inputs already.
        options: see BuildOptions.
        progress: told the step and the fraction of it that is done.
        note: told what was done to the graph.
    Returns:
        What the engine's sidecar says.
    Raises:
        ModelError, SpecError, DataError: an input cannot be used.
        BuildError: the options do not go together, the back end fails, or the masks agree too little with float32.
        EngineError: the back end does not load what it has built.
        MissingPackageError: the back end or Model Optimizer is not installed.
        OutputError: the engine cannot be written.
    """
    begun = preflight(onnx_path, engine_path, options, note=note)
    if begun.same is not None and not options.is_forced:
        note(f"{engine_path} is of the same inputs already, nothing is built; --force builds it again")
        return begun.same
    net = open_net(onnx_path, options, begun.backend, note=note)
    for text in net.memory.warning():
        note(text)
    fresh = _built(net, options, begun.backend, trials_path(engine_path), progress, note)
    facts = facts_of(fresh.spec, fresh.built.plan) if begun.backend.runs_here else None
    spec = msgspec.structs.replace(fresh.spec, build_key=begun.key, facts=facts)
    if options.verify is not None:
        reference = _in_float32(net, options, progress)
        found = verified(fresh, reference, options.verify, progress=progress, note=note)
        spec = msgspec.structs.replace(spec, verified=found)
    write_with_sidecar(engine_path, fresh.built.plan, spec, weights=fresh.built.weights)
    trials_path(engine_path).unlink(missing_ok=True)  # the sidecar says it all
    return spec


def _built(
    net: Opened, options: BuildOptions, backend: BuilderBackend, state_path: Path, progress: Progress, note: Note
) -> Fresh:
    """The plan and what its sidecar says, but for the key."""
    calibration = for_layers(net.source, net.kind, options.scores, options.calibration)
    found = measured(
        net.source,
        net.kind,
        calibration,
        options.source,
        on_image=lambda count, total: progress(min(count / total, 1.0), CALIBRATE),
        note=note,
    )
    choice = choose_kept(
        found.master,
        net.source,
        net.kind,
        backend,
        options.promise,
        net.frames,
        calibration,
        options.kept,
        state_path,
        progress=progress,
        note=note,
    )
    if choice.kept:
        note(kept_words(net.source.model, choice.kept, net.high))
    head = scored(
        net.source, options.scores, options.calibration, on_image=lambda count, total: progress(count / total, REACH)
    )
    built = build_master(
        found.master,
        backend,
        net.kind,
        net.high,
        kept=choice.kept,
        source=net.source,
        profiles=options.profiles,
        head=head,
        progress=progress,
    )
    for text in built.notes:
        note(text)
    return _fresh(net, options, backend, built, described(found, net.kind, net.high, choice), head)


def _in_float32(net: Opened, options: BuildOptions, progress: Progress) -> Fresh:
    """The same net on the same back end, whole and with none of the options that make a plan faster."""
    backend, master = open_backend(options.backend), Master(model=net.source.model)
    built = build_master(
        master, backend, "fp32", "fp32", source=net.source, profiles=options.profiles, progress=progress
    )
    return _fresh(net, options, backend, built, master.described("fp32", "fp32"), net.source.spec.head)


def _fresh(
    net: Opened,
    options: BuildOptions,
    backend: BuilderBackend,
    built: Built,
    precision: PrecisionSpec,
    head: HeadSpec,
) -> Fresh:
    model = msgspec.structs.replace(net.source.spec, head=head)
    return Fresh(built, engine_spec(model, backend, built, precision, profiles=options.profiles))
