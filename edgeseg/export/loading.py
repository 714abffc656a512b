"""Own the way from what a user names to a net: a factory, a file, a package's net, a saved program. Load no weights."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError
from edgeseg.export.catalogue import find_built_in, is_bare_name
from edgeseg.export.factories import FAULTS, Loaded, call_factory, class_argument_of, fault_text, in_float32, nearest
from edgeseg.export.named import PACKAGES, load_named
from edgeseg.export.programs import load_program, load_script
from edgeseg.export.weight_files import kind_of
from edgeseg.files import read_file
from edgeseg.packages import require

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["load_net"]

#: files that hold a net; which kind they are is read from them
SAVED = (".pt2", ".ts", ".torchscript", ".jit", ".pt", ".pth")
FORMS = (
    "write a name of 'edgeseg export --list', package.module:factory, file.py:Class, torchvision:NAME, smp:NAME, "
    "transformers:FOLDER, or a .pt2 file"
)


def load_net(name: str, arguments: Mapping[str, object]) -> Loaded:
    """Make the net that ``name`` means, in evaluation mode and float32, on the CPU. Nothing is downloaded.

    Args:
        name: of a built-in net; ``package.module:factory`` or ``file.py:Class``; ``torchvision:NAME``, ``smp:NAME``,
            ``transformers:NAME`` or ``transformers:FOLDER``; or a file of TorchScript or of torch.export, whose code
            is run as that of ``file.py`` is.
        arguments: keyword arguments of the factory or class.
    Raises:
        ModelError: it cannot be found, called or read, or gives no nn.Module.
        MissingPackageError: the package that ``name`` begins with is not installed.
    """
    package, colon, what = name.partition(":")
    if colon and package in PACKAGES:
        loaded = load_named(package, what, arguments)
    elif Path(name).suffix in SAVED:
        loaded = _load_saved(Path(name), arguments)
    else:
        factory = _find(find_built_in(name).factory if is_bare_name(name) else name)
        loaded = Loaded(net=call_factory(name, factory, arguments), class_argument=class_argument_of(factory))
    return _ready(loaded)


def _ready(loaded: Loaded) -> Loaded:
    if not isinstance(loaded.net, require("torch").nn.Module):  # an exported program is as it is
        return loaded
    notes = (*loaded.notes, *in_float32(loaded.net))
    return replace(loaded, net=loaded.net.eval(), notes=notes)


def _load_saved(path: Path, arguments: Mapping[str, object]) -> Loaded:
    if arguments:
        raise ModelError(f"{path} is a finished net and takes no --arg {next(iter(arguments))}", "leave it out")
    is_script = kind_of(path) == "torchscript"
    return Loaded(net=load_script(path) if is_script else load_program(path), has_weights=True)


def _find(name: str) -> Callable[..., Any]:
    where, colon, what = name.rpartition(":")
    if name.endswith(".onnx"):
        raise ModelError(f"{name} is an ONNX file already", "take it to 'edgeseg build-engine'")
    if not colon or not where or not what:
        raise ModelError(f"'{name}' names no model", FORMS)
    home = _import_file(Path(where)) if where.endswith(".py") else _import_package(where)
    factory = getattr(home, what, None)
    if not callable(factory):
        raise ModelError(f"{where} has no class or function {what}", nearest(what, _callables(home)))
    found: Callable[..., Any] = factory
    return found


def _callables(home: ModuleType) -> list[str]:
    return [name for name, one in vars(home).items() if callable(one) and not name.startswith("_")]


def _import_file(path: Path) -> ModuleType:
    read_file(path, error=ModelError, make_it="give the file that defines the net")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is no Python file", "give the file that defines the net")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and torch.export look their own module up there
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except FAULTS as error:
        raise ModelError(
            f"{path} cannot be imported ({fault_text(error)})", "mend it, or install what it imports"
        ) from error
    finally:
        sys.path.pop(0)
    return module


def _import_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except FAULTS as error:
        raise ModelError(
            f"{name} cannot be imported ({fault_text(error)})", "install it, or run where Python finds it"
        ) from error
