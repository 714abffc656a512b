"""Own the search for the module where ONNX and PyTorch part, or where a net gives NaN. Judge neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.export.blame import kind_of, named
from edgeseg.export.notes import Scope, operator_of
from edgeseg.export.parity import Difference, difference, run_onnx
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

__all__ = ["first_divergence", "first_nan"]

AT_ONCE = 32  # modules whose outputs are held together; a large net's activations would not fit in memory

Array = NDArray[Any]
#: of the net's operators: the calls of modules that each was in
Scopes = Mapping[str, tuple[Scope, ...]]


class _Call(NamedTuple):
    """The ``number``-th call of ``module``."""

    module: nn.Module
    number: int


def first_divergence(
    onnx_path: Path, scopes: Scopes, net: nn.Module, tensor: NDArray[np.float32], *, run: Callable[[], object]
) -> str:
    """Where the graph's values begin to differ from the modules' outputs, as a sentence.

    Modules count in the order in which their calls end; those of which the graph has no value of their own are left
    out, as are those with several outputs.

    Args:
        onnx_path: the graph; a second one is written beside it.
        scopes: see ``tracing.Traced``.
        net: runs inside ``run``.
        tensor: float32 NCHW, for the graph.
        run: runs PyTorch on the same.
    """
    model = require("onnx_ir").load(onnx_path)
    calls: list[_Call] = []
    _watch(net, run, lambda call, _: calls.append(call))
    pairs = _pairs(model, scopes, net, calls)
    worst, compared = 0.0, list[_Call]()
    for start in range(0, len(pairs), AT_ONCE):
        for call, error in _errors(onnx_path, model, pairs[start : start + AT_ONCE], tensor, net, run):
            if not error.is_rounding:
                before = f"everything before it agrees to {worst:.0e}" if compared else "it is the first to be compared"
                return f"{_name(net, call)}: ONNX differs by {error.largest:.1e} there, {before}"
            worst = max(worst, error.largest)
            compared.append(call)
    if not compared:
        return "no module inside the net can be compared"
    return f"all {len(compared)} modules that can be compared agree to {worst:.0e}, up to {_name(net, compared[-1])}"


def first_nan(net: nn.Module, run: Callable[[], object]) -> str:
    """The first module that gives NaN when ``run`` runs the net; empty if none does."""
    found: list[_Call] = []
    _watch(net, run, lambda call, value: found.append(call) if np.isnan(value()).any() else None)
    return _name(net, found[0]) if found else ""


def _name(net: nn.Module, call: _Call) -> str:
    path = next(path for path, module in net.named_modules() if module is call.module)
    return named(path, kind_of(call.module)) + (f", call {call.number + 1}" if call.number else "")


def _watch(net: nn.Module, run: Callable[[], object], seen: Callable[[_Call, Callable[[], Array]], object]) -> None:
    """Run the net and tell ``seen`` every call of a module that ends with one tensor, and how to copy that.

    A copy is taken while the call ends: operators in place may change the tensor later.
    """
    is_tensor, counts = require("torch").is_tensor, Counter[Any]()

    def hook(module: nn.Module, _: object, output: Any) -> None:
        call = _Call(module, counts[module])
        counts[module] += 1
        if is_tensor(output) and output.is_floating_point():
            seen(call, lambda: output.detach().numpy().copy())

    handles = [module.register_forward_hook(hook) for module in net.modules()]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()


def _pairs(model: ir.Model, scopes: Scopes, net: nn.Module, calls: Sequence[_Call]) -> list[tuple[_Call, ir.Value]]:
    """The calls whose output is a value of the graph."""
    modules = dict(net.named_modules(remove_duplicate=False))
    keys: dict[nn.Module, list[str]] = {}
    for scope in dict.fromkeys(scope for calls in scopes.values() for scope in calls):
        if scope.path in modules:
            keys.setdefault(modules[scope.path], []).append(scope.key)
    values, counts = _scope_values(model, scopes), Counter(call.module for call in calls)
    pairs = []
    for call in calls:
        known = keys.get(call.module, [])
        if len(known) == counts[call.module] and known[call.number] in values:
            pairs.append((call, values[known[call.number]]))
    return pairs


def _scope_values(model: ir.Model, scopes: Scopes) -> dict[str, ir.Value]:
    """Of every call, the last value that is used outside of it."""
    inside = {node: {scope.key for scope in scopes.get(operator_of(node), ())} for node in model.graph}
    values = {}
    for node, keys in inside.items():
        for value in node.outputs:
            users = [inside.get(user, set()) for user, _ in value.uses()]
            for key in keys:
                if value.is_graph_output() or any(key not in user for user in users):
                    values[key] = value
    return values


def _errors(
    onnx_path: Path,
    model: ir.Model,
    pairs: Sequence[tuple[_Call, ir.Value]],
    tensor: NDArray[np.float32],
    net: nn.Module,
    run: Callable[[], object],
) -> Iterator[tuple[_Call, Difference]]:
    """How far each call's output is from the graph's value; of those of one shape."""
    wanted, expected = {call for call, _ in pairs}, {}
    _watch(net, run, lambda call, value: expected.update({call: value()}) if call in wanted else None)
    model.graph.outputs[:] = list(dict.fromkeys(value for _, value in pairs))
    probe = onnx_path.with_name(f"probe-{onnx_path.name}")
    require("onnx_ir").save(model, probe)
    found = dict(zip(model.graph.outputs, run_onnx(probe, tensor), strict=True))
    for call, value in pairs:
        if call in expected and found[value].shape == expected[call].shape:
            yield call, difference(found[value], expected[call])
