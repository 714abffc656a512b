"""Own the comparison of an ONNX file with the PyTorch module it came from. Export nothing, blame no module."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ParityError
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.metrics import agreement
from edgeseg.packages import require
from edgeseg.spec import HeadSpec

__all__ = ["Case", "Difference", "Parity", "ParityEntry", "check_parity", "difference", "run_onnx"]

# FP32 in another order of additions: 1e-5 is usual, 1e-3 would be another operator
MAX_RELATIVE_ERROR = 1e-3
# rounding alone moves the odd value by more where a net takes a maximum's place: unpooling, sampling
MAX_SHARE_APART = 1e-3
# every order of additions moves others: of a SegNet 0.1 % with oneDNN, 0.4 % in channels_last, 0.6 % without oneDNN
MAX_SENSITIVITY = 10.0
MIN_AGREEMENT = 0.999

Array = NDArray[Any]


class Case(NamedTuple):
    """An input (float32 NCHW), what PyTorch made of it, and the head of one image of that size."""

    name: str
    tensor: NDArray[np.float32]
    expected: Array
    head: HeadSpec


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far an array is from the expected one.

    ``largest`` is the largest difference over the largest expected value, NaN where either has a NaN; ``apart`` is the
    share of values that differ by more than 1e-3 of that.
    """

    largest: float
    apart: float

    @property
    def is_rounding(self) -> bool:
        """Whether the order of additions explains it."""
        return self.apart <= MAX_SHARE_APART and not np.isnan(self.largest)


@dataclass(frozen=True, kw_only=True)
class ParityEntry:
    """ONNX (ONNX Runtime, FP32) against PyTorch on one input.

    ``relative_error`` is the largest difference of the scores over the largest PyTorch score; None where the net gives
    finished class ids. ``mask_agreement`` is the share of equal pixels at the input's size. ``is_sensitive`` says that
    many scores differ, and that PyTorch's own float32 differs from float64 in as many: rounding alone moves them.
    """

    name: str
    relative_error: float | None
    mask_agreement: float
    is_sensitive: bool = False


@dataclass(frozen=True, kw_only=True)
class Parity:
    """All that was compared."""

    entries: tuple[ParityEntry, ...]

    @property
    def relative_error(self) -> float | None:
        """The largest."""
        return max((one.relative_error for one in self.entries if one.relative_error is not None), default=None)

    @property
    def mask_agreement(self) -> float:
        """The smallest."""
        return min(one.mask_agreement for one in self.entries)


def check_parity(
    onnx_path: Path,
    cases: Sequence[Case],
    *,
    blame: Callable[[Case], str],
    exact: Callable[[Case], Array | None] = lambda case: None,
) -> Parity:
    """Run the graph on every case and compare it with PyTorch.

    Args:
        onnx_path: with its weights beside it, if it keeps them there.
        cases: at least one.
        blame: asked for the module that differs, where a case does.
        exact: asked for PyTorch's output in float64, where the scores differ; None where there is none.
    Raises:
        ParityError: more than 0.1 % of the pixels differ; or more than 0.1 % of the scores are apart by more than 0.1 %
            of the largest, and from float64 more than ten times as many as PyTorch's own are.
    """
    session = _session(onnx_path)
    return Parity(entries=tuple(_compared(session, case, blame, exact) for case in cases))


def run_onnx(onnx_path: Path, tensor: NDArray[np.float32]) -> list[Array]:
    """All outputs of a graph, by ONNX Runtime on the CPU."""
    session = _session(onnx_path)
    outputs: list[Array] = session.run(None, {session.get_inputs()[0].name: tensor})
    return outputs


def difference(found: Array, expected: Array) -> Difference:
    """Compare two arrays of one shape."""
    scale = max(float(np.abs(expected).max()), 1e-12)
    relative = np.abs(found - expected) / scale
    return Difference(largest=float(relative.max()), apart=float((~(relative <= MAX_RELATIVE_ERROR)).mean()))


def _session(onnx_path: Path) -> Any:
    runtime = require("onnxruntime")
    state, options = runtime.capi.onnxruntime_pybind11_state, runtime.SessionOptions()
    options.log_severity_level = 4  # fatal; errors are raised
    # the level above reorders weights, and cannot where one of them is larger than 2 GiB (1.31)
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    try:
        return runtime.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
    except (state.Fail, state.InvalidGraph, state.NotImplemented, state.RuntimeException) as error:
        reason = str(error).strip().splitlines()[0]
        raise ParityError(
            f"ONNX Runtime cannot load the exported graph ({reason})", "choose another --opset"
        ) from error


def _compared(
    session: Any, case: Case, blame: Callable[[Case], str], exact: Callable[[Case], Array | None]
) -> ParityEntry:
    found = _outcome(session, case)
    if found.shape != case.expected.shape:
        raise ParityError(f"on {case.name} ONNX gives {found.shape}, PyTorch {case.expected.shape}", blame(case))
    is_ids = case.head.decision == "ids"
    error = None if is_ids else difference(found, case.expected)
    agreed = _agreement(found, case)
    is_apart = error is not None and not error.is_rounding
    is_sensitive = is_apart and _is_sensitive(found, case.expected, exact(case))
    if (is_apart and not is_sensitive) or agreed < MIN_AGREEMENT:
        scores = "" if error is None else f"scores by up to {error.largest:.1e} of the largest, "
        raise ParityError(
            f"ONNX differs from PyTorch on {case.name}: {scores}{agreed:.3%} of the mask agree", blame(case)
        )
    relative = None if error is None else error.largest
    return ParityEntry(name=case.name, relative_error=relative, mask_agreement=agreed, is_sensitive=is_sensitive)


def _is_sensitive(found: Array, expected: Array, exact: Array | None) -> bool:
    """Whether ONNX is about as near to the exact scores as PyTorch is."""
    if exact is None or not np.isfinite(found).all():
        return False
    return difference(found, exact).apart <= MAX_SENSITIVITY * difference(expected, exact).apart


def _outcome(session: Any, case: Case) -> Array:
    state = require("onnxruntime").capi.onnxruntime_pybind11_state
    try:
        (found,) = session.run(None, {session.get_inputs()[0].name: case.tensor})
    except (state.Fail, state.InvalidArgument, state.RuntimeException) as error:
        place = re.search(r"Name:'(\S+)'", str(error))
        at = f" (ONNX Runtime fails at node '{place[1]}')" if place else f" ({str(error).strip().splitlines()[0]})"
        raise ParityError(
            f"the graph does not run on {case.name} where PyTorch does{at}",
            "give a larger --size-step, or choose another --opset",
        ) from error
    return np.asarray(found)


def _agreement(found: Array, case: Case) -> float:
    """The smallest of the batch."""
    if case.head.decision == "ids":
        return float((found == case.expected).mean())
    size_hw = (case.tensor.shape[2], case.tensor.shape[3])
    maker = MaskMaker(case.head)
    masks = [[maker.mask(one.reshape(maker.shape), size_hw=size_hw) for one in each] for each in (found, case.expected)]
    return min(agreement(one, two) for one, two in zip(*masks, strict=True))
