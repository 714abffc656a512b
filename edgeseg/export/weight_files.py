"""Own the reading of files of weights, and the naming of files that are none. Run nothing that a file holds."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeseg.errors import ModelError
from edgeseg.export.factories import fault_text
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FileKind", "kind_of", "read_weights"]

FileKind = Literal["archive", "torchscript", "program", "safetensors", "index", "other"]
ZIP = b"PK\x03\x04"
HTML = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)
LFS = b"version https://git-lfs"
#: what torch.load raises on bytes that are no checkpoint
BAD_BYTES = (AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError)


def kind_of(path: Path) -> FileKind:
    """What a file is, by its first bytes and, of a zip, by its members.

    Returns:
        ``archive`` is what ``torch.save`` writes since 1.6, ``other`` may be what it wrote before.
    Raises:
        ModelError: it cannot be read, is empty or cut short, or is a web page or a Git LFS pointer.
    """
    head = _first_bytes(path)
    if head.startswith(LFS):
        raise ModelError(f"{path} is a Git LFS pointer, not the file itself", "fetch it: git lfs pull")
    if HTML.match(head):
        raise ModelError(f"{path} is a web page, not the file itself", "download it with the link to the raw file")
    if path.name.endswith(".index.json"):
        return "index"
    if path.suffix == ".safetensors":
        return "safetensors"
    return _kind_of_zip(path) if head.startswith(ZIP) else "other"


def read_weights(path: Path) -> object:
    """Read what a checkpoint holds; tensors are mapped from the file, on the CPU, and not to be written.

    Args:
        path: .safetensors, or what ``torch.save`` wrote, or the ``.index.json`` of either in several files.
    Returns:
        Tensors, numbers and text in mappings and lists.
    Raises:
        ModelError: it is no such file, or holds objects that would run code.
    """
    kind = kind_of(path)
    if kind == "index":
        return _read_shards(path)
    if kind == "safetensors":
        return _read_safetensors(path)
    if kind in ("torchscript", "program"):
        program = "a TorchScript program" if kind == "torchscript" else "a program of torch.export"
        raise ModelError(
            f"{path} is {program}, which holds the net too",
            f"name it as the net: edgeseg export {path.name}, without --checkpoint",
        )
    return _read_torch(path, is_archive=kind == "archive")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})", "check the path") from error
    if not head:
        raise ModelError(f"{path} is empty (0 bytes)", "copy or download it again")
    return head


def _kind_of_zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path} is cut short or damaged ({error})", "copy or download it again") from error
    if "constants.pkl" in names:
        return "torchscript"
    if "archive_format" in names or "serialized_exported_program.json" in names:
        return "program"
    return "archive" if "data.pkl" in names else "other"


def _read_torch(path: Path, *, is_archive: bool) -> object:
    torch = require("torch")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except BAD_BYTES as error:
        refused = _refused(path, error)
        if refused:
            raise _pickled(path, refused) from error
        raise ModelError(
            f"{path} is no checkpoint ({fault_text(error)})", "save it again: torch.save(net.state_dict(), path)"
        ) from error


def _refused(path: Path, error: Exception) -> list[str]:
    """The names of the classes and functions that a pickle asks for, read without running it."""
    torch = require("torch")
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except BAD_BYTES:  # the format before torch 1.6
        return re.findall(r"GLOBAL (\S+) was not an allowed global", str(error))


def _pickled(path: Path, refused: list[str]) -> ModelError:
    named = ", ".join(refused[:5]) + (f" and {len(refused) - 5} more" if len(refused) > 5 else "")
    is_net = any(name.startswith("torch.nn.modules.") for name in refused)
    saved = f"torch.load('{path.name}', weights_only=False)"
    weights = f"{saved}.state_dict()" if is_net else f"{saved}['state_dict']"
    holds = "a whole pickled net" if is_net else "pickled Python objects"
    return ModelError(
        f"{path} holds {holds} ({named}), which run code when they are loaded",
        f"if you trust the file, take the weights out where its code is installed: torch.save({weights}, 'weights.pt')",
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    safetensors_torch = require("safetensors.torch")
    from safetensors import SafetensorError

    try:
        tensors: dict[str, Tensor] = safetensors_torch.load_file(path)
    except SafetensorError as error:
        raise ModelError(
            f"{path} is no whole safetensors file ({error})", "copy or download it again, or save it again"
        ) from error
    return tensors


def _read_shards(index: Path) -> dict[str, object]:
    """Join the files that an index in Hugging Face's form names; they lie beside it."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of weights ({error})", "give the .safetensors or .bin file") from error
    joined: dict[str, object] = {}
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name.endswith(".json"):
            raise ModelError(f"{index} names {name!r}", "an index names files that lie beside it")
        part = read_weights(index.with_name(name))
        if not isinstance(part, Mapping):
            raise ModelError(f"{index.with_name(name)} holds no weights", "save the net again")
        joined.update(part)
    return joined
