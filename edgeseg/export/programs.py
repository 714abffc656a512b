"""Own the loading of nets that were saved as programs: TorchScript and torch.export. Convert nothing to ONNX."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError
from edgeseg.export.factories import FAULTS, fault_text
from edgeseg.export.weight_files import FileKind, kind_of
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.jit import ScriptModule

__all__ = ["load_program", "load_script"]

#: operators whose behaviour a training flag changes, and the place of that flag among their inputs
TRAINING_FLAGS = {"aten::batch_norm": 5, "aten::dropout": 2, "aten::feature_dropout": 2}
NAMES: dict[FileKind, str] = {"program": "program of torch.export", "torchscript": "TorchScript program"}


def load_program(path: Path) -> ExportedProgram:
    """Read what ``torch.export.save`` wrote.

    Such a file is a program. torch 2.13 reads parts of it with pickle and evaluates its symbolic sizes as Python, so
    that it can run code on this machine just as a ``.py`` file can: take it only from whom you trust.

    Returns:
        The program, as it was saved.
    Raises:
        ModelError: it is no such file, or was written by a torch or for a device that is not here.
    """
    torch = require("torch")
    _check_kind(path, "program", "save it with torch.export.save(torch.export.export(net, inputs), path)")
    try:
        with path.open("rb") as file:  # a path would have to end in .pt2
            program: ExportedProgram = torch.export.load(file)
    except FAULTS as error:
        raise ModelError(
            f"{path} cannot be read by torch {torch.__version__} ({fault_text(error)})",
            f"export it again with this version{_written_by(path)}",
        ) from error
    return program


def load_script(path: Path) -> ScriptModule:
    """Read what ``torch.jit.save`` wrote; TorchScript's interpreter runs TorchScript alone, no Python.

    Returns:
        The module, on the CPU, in evaluation mode, in the dtype that it was saved in.
    Raises:
        ModelError: it is no such file, uses operators of a package that is not here, or was traced in training mode.
    """
    torch = require("torch")
    _check_kind(path, "torchscript", "save it with torch.jit.script(net).save(path)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself, which the user knows to have
            module: ScriptModule = torch.jit.load(path, map_location="cpu")
    except FAULTS as error:
        raise ModelError(
            f"{path} cannot be read by torch {torch.__version__} ({fault_text(error)})",
            "save it again with this version, or name the net and give its weights as --checkpoint",
        ) from error
    module.eval()
    graph: Any = module.inlined_graph  # its nodes live as long as it is held
    for kind, place in TRAINING_FLAGS.items():
        if any(node.inputsAt(place).toIValue() is True for node in graph.findAllNodes(kind)):
            raise ModelError(f"{path} was traced in training mode ({kind} in it trains)", "trace it after net.eval()")
    return module


def _check_kind(path: Path, wanted: FileKind, make_it: str) -> None:
    kind = kind_of(path)
    if kind == wanted:
        return
    if kind in ("archive", "safetensors", "index"):
        raise ModelError(
            f"{path} holds weights, or a pickled net, and no program",
            "name the net (package.module:factory or file.py:Class) and give this as --checkpoint",
        )
    raise ModelError(f"{path} is no {NAMES[wanted]}", make_it)


def _written_by(path: Path) -> str:
    """Which torch wrote a program, as far as it says so."""
    with zipfile.ZipFile(path) as archive:
        models = [archive.read(name) for name in archive.namelist() if name.endswith("models/model.json")]
    found = re.search(rb'"torch_version": *"([^"]+)"', models[0]) if models else None
    return f", it was written by torch {found[1].decode()}" if found else ""
