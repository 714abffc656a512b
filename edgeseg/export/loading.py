"""Own the making of a PyTorch module: finding its factory and loading its checkpoint. Export nothing."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError
from edgeseg.files import read_file
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["load_checkpoint", "load_module"]

WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIX = "module."  # what DataParallel and DistributedDataParallel put before every key


def load_module(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """Make the module that ``name`` means, in evaluation mode, on the CPU.

    Args:
        name: ``package.module:factory`` or ``file.py:Class``.
        arguments: keyword arguments of the factory or class.
    Raises:
        ModelError: it cannot be found or called, or gives no nn.Module.
    """
    torch = require("torch")
    factory = _find(name)
    try:
        module = factory(**arguments)
    except TypeError as error:
        raise ModelError(
            f"{name} cannot be called with {dict(arguments)} ({error})", "give --arg name=value"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{name} gives a {type(module).__name__}", "name a class or factory of an nn.Module")
    evaluating: nn.Module = module.eval()
    return evaluating


def load_checkpoint(module: nn.Module, path: Path) -> None:
    """Load weights into ``module``; every key must fit.

    ``state_dict`` and ``model`` wrappers and the prefix ``module.`` are taken off.

    Args:
        module: changed in place.
        path: .safetensors, or what ``torch.save`` wrote of a state dict.
    Raises:
        ModelError: no weights-only file, or keys or shapes that do not fit.
    """
    weights = _without_prefix(_unwrap(_read(path), path))
    expected = module.state_dict()
    _check_keys(path, expected, weights)
    for key, tensor in weights.items():
        if tensor.shape != expected[key].shape:
            raise ModelError(
                f"{path}: {key} is {tuple(tensor.shape)}, the net has {tuple(expected[key].shape)}",
                "make the net as it was trained, for example --arg num_classes=...",
            )
    module.load_state_dict(weights)


def _find(name: str) -> Callable[..., Any]:
    where, colon, what = name.rpartition(":")
    if not colon or not where or not what:
        raise ModelError(f"'{name}' names no model", "write package.module:factory or file.py:Class")
    home = _import_file(Path(where)) if where.endswith(".py") else _import_package(where)
    if not callable(getattr(home, what, None)):
        near = difflib.get_close_matches(what, dir(home), n=1)
        raise ModelError(
            f"{where} has no class or function {what}", f"nearest is {near[0]}" if near else "check the name"
        )
    factory: Callable[..., Any] = getattr(home, what)
    return factory


def _import_file(path: Path) -> object:
    read_file(path, error=ModelError, make_it="give the file that defines the net")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is no Python file", "give the file that defines the net")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and torch.export look their own module up there
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise ModelError(f"{path} cannot be imported ({error})", "mend it, or install what it imports") from error
    finally:
        sys.path.pop(0)
    return module


def _import_package(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(f"{name} cannot be imported ({error})", "install it, or run where Python finds it") from error


def _read(path: Path) -> object:
    data = read_file(path, error=ModelError, make_it="give a checkpoint of weights")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, data)
    torch = require("torch")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds pickled Python objects, which run code when they are loaded",
            "save weights alone, torch.save(model.state_dict(), path), or safetensors",
        ) from error
    except (
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # whatever the bytes do
        raise ModelError(f"{path} is no checkpoint ({_first_line(error)})", "save it again") from error


def _read_safetensors(path: Path, data: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError

    safetensors_torch = require("safetensors.torch")
    try:
        tensors: dict[str, Tensor] = safetensors_torch.load(data)
    except SafetensorError as error:
        raise ModelError(f"{path} is no safetensors file ({error})", "save it again") from error
    return tensors


def _unwrap(loaded: object, path: Path) -> dict[str, Tensor]:
    torch = require("torch")
    while isinstance(loaded, Mapping):
        wrapper = next((name for name in WRAPPERS if isinstance(loaded.get(name), Mapping)), None)
        if wrapper is None:
            break
        loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded or not all(torch.is_tensor(v) for v in loaded.values()):
        raise ModelError(f"{path} holds no state dict", "save torch.save(model.state_dict(), path)")
    return dict(loaded)


def _without_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    if all(key.startswith(PREFIX) for key in weights):
        return {key.removeprefix(PREFIX): tensor for key, tensor in weights.items()}
    return weights


def _check_keys(path: Path, expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    missing = sorted(expected.keys() - given.keys())
    extra = sorted(given.keys() - expected.keys())
    if not missing and not extra:
        return
    parts = []
    if missing:
        near = difflib.get_close_matches(missing[0], extra, n=1)
        nearest = f" (nearest in the file: {near[0]})" if near else ""
        parts.append(f"{len(missing)} keys of the net are missing, first {missing[0]}{nearest}")
    if extra:
        parts.append(f"{len(extra)} keys are not in the net, first {extra[0]}")
    raise ModelError(f"{path} does not fit the net: {'; '.join(parts)}", "make the net as it was trained (--arg)")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
