"""Own what quantising each node alone does to a net's masks, over frames. Change no net, decide nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log10
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.builder.finiteness import Span, check_finite
from edgeseg.builder.master import Master
from edgeseg.builder.probing import Probe, float_values
from edgeseg.errors import BuildError, DataError, ModelError
from edgeseg.graph.access import described, module_path
from edgeseg.graph.counting import count
from edgeseg.graph.effects import Diagnosis, NodeEffect, WholeEffect
from edgeseg.graph.qdq import LAYERS, Quantisation
from edgeseg.graph.saving import save_graph
from edgeseg.graph.switching import Switched, switched
from edgeseg.imaging.geometry import Rect
from edgeseg.imaging.postprocess import Mask, MaskMaker
from edgeseg.imaging.preprocess import Frame, Preprocessor, Tensor
from edgeseg.packages import require
from edgeseg.spec import ModelSpec

__all__ = ["diagnose"]

Scores = NDArray[Any]
#: of scores in float64 at a time
PIECE = 1 << 20


def diagnose(
    master: Master,
    spec: ModelSpec,
    frames: Iterable[Frame],
    *,
    on_frame: Callable[[float], None] = lambda done: None,
) -> Diagnosis:
    """Quantise each node alone, and compare the net with itself in float32.

    One pass over the frames: each is read and pre-processed once, and runs ``nodes + 2`` times: in float32, with each
    node that has a quantised input quantised alone, and with all of them. A run costs what the net costs in float32
    in ONNX Runtime, and that node twice more; so of nets of one kind, the whole grows with the square of their depth.
    Processor time a frame, measured on two cores: the demo net at 256x512 (22 nodes) 2.8 s, 118 ms a run; DeepLab V3 on
    ResNet-101 at 129x257 (146 nodes) 63 s, 422 ms a run.

    Memory: a frame's scores and masks twice, the weights of those nodes twice (on disk too, in a temporary folder),
    and what ONNX Runtime takes to run the net; no node's output leaves it, and nothing grows with the number of frames.

    Masks are what the runtime makes of the scores, at the net's input size; what pads a letterbox does not count. The
    figures were the same in every run on one machine; on others, additions in another order may move them by float32's
    rounding.

    Args:
        master: with a quantisation. Its followers (additions, poolings) are judged alone too.
        spec: what the net takes and means.
        frames: uint8 (H, W, 3) BGR, any sizes, at least one; read once.
        on_frame: told how many frames are done; 2.5 in the middle of the third.
    Raises:
        BuildError: nothing is quantised.
        DataError: no frame; what reads them may raise more.
        ModelError: ONNX Runtime cannot run the graph, or a node, which is named, makes NaN or infinity.
        MissingPackageError: ONNX Runtime is not installed.
    """
    if master.quantisation is None or not master.quantisation.sites:
        raise BuildError("nothing of the net is quantised", "calibrate it on typical images first")
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        bench = _Bench(master, master.quantisation, spec, Path(folder))
        number = 0
        for number, frame in enumerate(frames, start=1):  # their number is asked for after the loop
            bench.see(frame, number, on_frame)
    if not number:
        raise DataError("there is no frame to diagnose the net on", "give about 8 typical frames")
    return _diagnosis(master, bench, frames=number)


@dataclass
class _Tally:
    """What one setting of the switches did, over the frames so far; sums of squares in float64.

    ``signal`` and ``noise`` are of the node's own output, ``error`` of the scores.
    """

    signal: float = 0.0
    noise: float = 0.0
    error: float = 0.0
    changed: int = 0


class _Bench:
    """A net with switches, and the sums of what they do."""

    def __init__(self, master: Master, quantisation: Quantisation, spec: ModelSpec, folder: Path) -> None:
        self._model, self._spec = master.model, spec
        self._runs = _Runs(switched(master.model, quantisation), spec, folder)
        self._preprocessor = Preprocessor(spec.input)
        self._maker = MaskMaker(spec.head, input_hw=spec.input.size_hw)
        self.nodes = {name: _Tally() for name in quantisation.nodes}
        self.whole = _Tally()
        self.energy, self.pixels = 0.0, 0

    def see(self, frame: Frame, number: int, on_frame: Callable[[float], None]) -> None:
        """Run a frame, the ``number``-th, in every setting."""
        tensor = self._preprocessor.tensor(frame)
        view = self._preprocessor.placement((frame.shape[1], frame.shape[0])).target
        exact = self._runs.run(tensor, ()).scores
        if not np.isfinite(exact).all():
            raise self._blamed(tensor, number)
        mask = self._mask(exact, view)
        self.energy += _energy(exact)
        self.pixels += mask.size
        settings = [((name,), tally) for name, tally in self.nodes.items()] + [(tuple(self.nodes), self.whole)]
        for done, (on, tally) in enumerate(settings, start=1):
            outcome = self._runs.run(tensor, on)
            self._check(outcome, on[-1], tensor, number)
            tally.signal += outcome.signal
            tally.noise += outcome.noise
            tally.error += _energy(exact, outcome.scores)
            tally.changed += int(np.count_nonzero(self._mask(outcome.scores, view) != mask))
            on_frame(number - 1 + done / len(settings))

    @property
    def whole_effect(self) -> WholeEffect:
        """With all nodes quantised."""
        changed = self.whole.changed / self.pixels
        return WholeEffect(logits_snr_db=self.logits_snr_db(self.whole), disagreement=changed)

    def logits_snr_db(self, tally: _Tally) -> float | None:
        """None for a net that gives finished ids."""
        return None if self._spec.head.decision == "ids" else _decibels(self.energy, tally.error)

    def _mask(self, scores: Scores, view: Rect) -> Mask:
        mask = self._maker.mask(scores, size_hw=self._spec.input.size_hw)
        return mask[view.y : view.y + view.height, view.x : view.x + view.width]

    def _check(self, outcome: _Outcome, name: str, tensor: Tensor, number: int) -> None:
        if not isfinite(outcome.signal):  # which is float32's own
            raise self._blamed(tensor, number)
        if not isfinite(outcome.noise) or not np.isfinite(outcome.scores).all():
            node = next(one for one in self._model.graph if one.name == name)
            raise ModelError(
                f"{described(node)} makes the net give NaN or infinity on frame {number} when it is quantised",
                "its range or scale is no sound number: calibrate the net again",
            )

    def _blamed(self, tensor: Tensor, number: int) -> ModelError:
        """Names the node that made the first NaN or infinity of the float32 net."""
        names = [str(value.name) for value in float_values(self._model)]
        with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
            _, ranges = Probe(self._model, Path(folder), measured=names).run(tensor)
        spans = {name: Span(*map(float, span)) for name, span in zip(names, zip(*ranges, strict=True), strict=True)}
        try:
            check_finite(self._model, spans, {self._spec.head.output}, f"frame {number}")
        except ModelError as error:
            return error
        return ModelError(f"the net gives numbers beyond 1e17 on frame {number}", "look for them in its weights")


class _Outcome(NamedTuple):
    """The scores of a run, and the sums of squares of the last node that was quantised in it."""

    scores: Scores
    signal: float = 0.0
    noise: float = 0.0


class _Runs:
    """A graph with switches in ONNX Runtime on the CPU."""

    def __init__(self, net: Switched, spec: ModelSpec, folder: Path) -> None:
        runtime = require("onnxruntime")
        state = runtime.capi.onnxruntime_pybind11_state
        self._errors = (
            state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, state.RuntimeException
        )  # fmt: skip
        self._net, self._input, self._output = net, spec.input.name, spec.head.output
        path, options = folder / "switched.onnx", runtime.SessionOptions()
        save_graph(net.model, path, inside_bytes=0)  # weights in one piece with the graph are held four times meanwhile
        options.log_severity_level = 4  # fatal; errors are raised
        # the levels above move Q/DQ: FP8 into poolings, which have none, or to other sums (ONNX Runtime 1.31, measured)
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except self._errors as error:
            raise _refused("load", error) from error

    def run(self, tensor: Tensor, on: Sequence[str]) -> _Outcome:
        """Put a frame through the net with these nodes quantised."""
        feed: dict[str, Any] = {flag: np.array(name in on) for name, flag in self._net.flags.items()}
        sums = self._net.noise[on[-1]] if on else ()
        try:
            found = self._session.run([self._output, *sums], {self._input: tensor, **feed})
        except self._errors as error:
            raise _refused("run", error) from error
        return _Outcome(found[0], *map(float, found[1:]))


def _refused(what: str, error: Exception) -> ModelError:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelError(
        f"ONNX Runtime cannot {what} the graph ({text})", "export the net again, perhaps with another --opset"
    )


def _energy(exact: Scores, other: Scores | None = None) -> float:
    """Sum of squares, of ``exact`` or of what ``other`` differs by; in pieces, for float64 takes twice the room."""
    flat = exact.reshape(-1)
    total = 0.0
    for begin in range(0, flat.size, PIECE):
        piece = flat[begin : begin + PIECE].astype(np.float64)
        if other is not None:
            piece -= other.reshape(-1)[begin : begin + PIECE]
        total += float(np.square(piece).sum())
    return total


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return inf
    return 10 * log10(signal / noise) if signal else -inf


def _diagnosis(master: Master, bench: _Bench, *, frames: int) -> Diagnosis:
    nodes = {node.name: node for node in master.model.graph}
    macs = {one.name: one.macs for one in count(master.model).nodes}
    whole = bench.whole_effect
    effects = []
    for order, (name, tally) in enumerate(bench.nodes.items()):
        node, disagreement = nodes[name], tally.changed / bench.pixels
        effect = NodeEffect(
            name=name,
            words=described(node),
            op_type=node.op_type,
            module=module_path(node),
            order=order,
            is_layer=node.op_type in LAYERS,
            macs=macs[name],
            output_snr_db=_decibels(tally.signal, tally.noise),
            logits_snr_db=bench.logits_snr_db(tally),
            disagreement=disagreement,
            share=disagreement / whole.disagreement if whole.disagreement else None,
        )
        effects.append(effect)
    return Diagnosis(nodes=tuple(sorted(effects, key=_badness)), whole=whole, frames=frames, pixels=bench.pixels)


def _badness(one: NodeEffect) -> tuple[float, float, float, str]:
    logits = inf if one.logits_snr_db is None else one.logits_snr_db
    return -one.disagreement, logits, one.output_snr_db, one.name
