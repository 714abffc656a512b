"""Own the naming of the place in a net where torch failed: module, operator and line. Judge no error."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import fx, nn

__all__ = ["failing_operator", "first_line", "kind_of", "module_of", "named", "place_of"]


def kind_of(module: nn.Module) -> str:
    """The name of a module's class, also of one that came as TorchScript or as an exported program."""
    original = getattr(module, "original_name", None)  # TorchScript
    told = getattr(module, "type_name", None)  # torch.export.unflatten
    name = original or (told() if callable(told) else None) or type(module).__name__
    return str(name).rpartition(".")[2]


def named(path: str, kind: str) -> str:
    """How messages name a module: ``decoder.up (Upsample)``; the whole net by its class alone."""
    return f"{path} ({kind})" if path else kind


def place_of(error: BaseException, net: nn.Module) -> str:
    """The module whose forward() was the last to run before ``error``, and the line: ``up (Up), net.py:12``."""
    paths = {id(module): name for name, module in net.named_modules()}
    frames = list(traceback.walk_tb(error.__traceback__))
    within = [frame.f_locals["self"] for frame, _ in frames if id(frame.f_locals.get("self")) in paths]
    lines = [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in frames if _is_users(frame)]
    modules = [named(paths[id(within[-1])], kind_of(within[-1]))] if within else []
    return ", ".join(modules + lines[-1:])


def failing_operator(error: BaseException) -> tuple[str, str] | None:
    """The operator that torch was translating and the path of its module, if it failed at one."""
    cause: BaseException | None = error
    found: fx.Node | None = None
    while cause is not None:
        nodes = (_node_of(frame) for frame, _ in traceback.walk_tb(cause.__traceback__))
        found = next((one for one in reversed(list(nodes)) if one is not None), found)
        cause = cause.__cause__
    return None if found is None else (str(found.target), module_of(found))


def first_line(error: BaseException) -> str:
    """Of the message, or the error's class where it has none."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _node_of(frame: FrameType) -> fx.Node | None:
    node = require("torch").fx.Node
    nodes = [one for one in frame.f_locals.values() if isinstance(one, node) and one.op == "call_function"]
    return nodes[0] if nodes else None


def module_of(node: fx.Node) -> str:
    """The path of the module that an operator of a program came from; empty if torch does not say."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _is_users(frame: FrameType) -> bool:
    """Neither torch's nor ours: what the user, or the package that the user named, wrote."""
    path = Path(frame.f_code.co_filename)
    is_torchs = path.is_relative_to(Path(str(require("torch").__file__)).parent)
    return path.is_absolute() and not is_torchs and path.parent != Path(__file__).parent
