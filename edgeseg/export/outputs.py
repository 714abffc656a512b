"""Own which tensor of a net's result is exported, and running the net for it. Trace nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError
from edgeseg.export.blame import first_line, place_of
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["NET_ERRORS", "WRAPPED", "run", "run_exactly", "single_output"]

#: what the code of a net may raise, and torch on its behalf
NET_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    ImportError,
)

#: the net's name inside the module with a single output
WRAPPED = "net"


def single_output(module: nn.Module, output: str | None) -> nn.Module:
    """The module with one tensor as its result.

    Args:
        module: gives a tensor, or several in a mapping, a sequence or an object with named fields.
        output: the key, field or index of the one; needed where there are several.
    """
    torch = require("torch")

    class SingleOutput(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.net = module

        def forward(self, image: Tensor) -> Any:
            return _choose(self.net(image), output)

    wrapped: nn.Module = SingleOutput().eval()
    return wrapped


def run(single: nn.Module, tensor: Tensor) -> Tensor:
    """The one output of the net for ``tensor``.

    Raises:
        ModelError: the net does not take the tensor, has no such output, or gives no scores and no class ids.
    """
    torch = require("torch")
    try:
        with torch.inference_mode():
            result: Tensor = single(tensor)
    except NET_ERRORS as error:
        place = place_of(error, single.get_submodule(WRAPPED))
        reason = first_line(error) + (f", in {place}" if place else "")
        raise ModelError(
            f"the net does not run on float32 {tuple(tensor.shape)} ({reason})",
            "check --input-size, --colour and --arg",
        ) from error
    _check(result, tuple(tensor.shape))
    return result


def run_exactly(single: nn.Module, tensor: Tensor) -> Tensor | None:
    """What ``run`` gives, in float64; None where the net computes in float32 alone. The net is left as it is."""
    try:
        with require("torch").inference_mode():
            result: Tensor = copy.deepcopy(single).double()(tensor.double())
    except NET_ERRORS:
        return None
    return result


def _choose(result: Any, output: str | None) -> Any:
    """One tensor out of a tensor, a dict, a tuple or an object with named fields (ModelOutput is a dict)."""
    torch = require("torch")
    if torch.is_tensor(result):
        return result
    tensors = {key: value for key, value in _fields(result).items() if torch.is_tensor(value)}
    if output is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if output not in tensors:
        asked = "several outputs" if output is None else f"no output '{output}'"
        raise ModelError(
            f"the net has {asked}", f"choose one with --output: {', '.join(tensors) or 'there is no tensor'}"
        )
    return tensors[output]


def _fields(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {str(key): value for key, value in result.items()}
    if hasattr(result, "_asdict"):
        return dict(result._asdict())
    if isinstance(result, (tuple, list)):
        return {str(index): value for index, value in enumerate(result)}
    return dict(getattr(result, "__dict__", {}))


def _check(result: Tensor, shape: tuple[int, ...]) -> None:
    """Scores or class ids of every image; what they are exactly, the graph's tail says."""
    torch = require("torch")
    is_ids = result.dtype == torch.bool or not (result.is_floating_point() or result.is_complex())
    if result.dtype != torch.float32 and not is_ids:
        raise ModelError(
            f"the output is {str(result.dtype)[6:]} {tuple(result.shape)}",
            "scores are float32, class ids integers; choose with --output",
        )
    if result.dim() not in (3, 4) or result.shape[0] != shape[0]:
        raise ModelError(
            f"the output is {tuple(result.shape)} for {shape}",
            "scores are (batch, classes, height, width), class ids (batch, height, width); choose with --output",
        )
