"""Own the loading of a checkpoint into a net: the choice among the weights in the file, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.errors import ModelError
from edgeseg.export.factories import fault_text
from edgeseg.export.misfits import AS_TRAINED, SHOWN, Misfit, misfit_error, some
from edgeseg.export.named import load_renamed
from edgeseg.export.places import Place, Table, places_of, tables_in
from edgeseg.export.weight_files import read_weights
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

__all__ = ["COUNTER", "Adapt", "load_checkpoint"]

#: makes of a file's weights, and the net's own, what is to be loaded, and sentences for the user
Adapt = Callable[[Table, Table], tuple["dict[str, Tensor]", tuple[str, ...]]]
COUNTER = "num_batches_tracked"  # of batch normalisation; missing in old files, and of no use in inference
FEW = 0.1  # a smaller share of the net's keys is found in any file: "0.weight" fits every Sequential
#: what averaging and the profiler thop leave among the weights
BOOKKEEPING = {"n_averaged", "total_ops", "total_params"}


def load_checkpoint(
    net: nn.Module | ExportedProgram,
    path: Path,
    *,
    weights_key: str | None = None,
    class_argument: str | None = None,
    expected_classes: int | None = None,
    adapt: Adapt | None = None,
) -> tuple[str, ...]:
    """Load weights into ``net``; every key must fit.

    The weights are found by the net's own keys, wherever in the file they are: under ``state_dict``, ``model`` and the
    like, and behind any one prefix (``module.`` of DataParallel, ``model.`` of Lightning, ``_orig_mod.`` of
    torch.compile). A module that only wraps another takes the other's weights too. Weights averaged over the training
    (EMA) come before the others of the same file.

    Args:
        net: float32, changed in place, also where an error is raised.
        path: .safetensors, what ``torch.save`` wrote of weights, or the ``.index.json`` of several files.
        weights_key: where in the file the weights are, such as ``model_ema``; overrides the choice.
        class_argument: the factory's argument for the number of classes; named where the file has another number.
        expected_classes: the number of classes that the user has named; told there too.
        adapt: changes the weights before they are held against the net.
    Returns:
        Sentences for the user: what was chosen, left out or converted.
    Raises:
        ModelError: no file of weights, or weights that do not fit the net or are quantised; or the net is an exported
            program, which holds its weights.
    """
    content = read_weights(path)
    tables = tables_in(content)
    if not tables:
        raise ModelError(f"{path} holds no state dict", "save torch.save(net.state_dict(), path)")
    module, places = _target(_module(net, path), content, tables)
    expected = _tensors(module)
    place = _chosen(path, places, tables, weights_key)
    weights = _below(tables[place.table], place.prefix)
    _refuse_quantised(path, weights, expected)
    weights, adapted = (weights, ()) if adapt is None else adapt(weights, expected)
    misfit = _load(module, path, weights, expected)
    if misfit:
        where = f"{path} (its {place.label})" if place.label else str(path)
        raise misfit_error(where, misfit, class_argument=class_argument, expected_classes=expected_classes)
    return (*_notes_on_choice(place, places, tables), *adapted, *_notes_on_weights(weights, expected))


def _module(net: nn.Module | ExportedProgram, path: Path) -> nn.Module:
    if not isinstance(net, require("torch").nn.Module):
        raise ModelError(f"{path} cannot be loaded into an exported program, which holds its weights", "leave it out")
    module: nn.Module = net
    return module


def _target(module: nn.Module, content: object, tables: Mapping[str, Table]) -> tuple[nn.Module, list[Place]]:
    """The module that the file's weights are for, ``module`` or one that it only wraps, and where they may be."""
    found = []
    for one in _wrapped(module):
        keys = {key for key in _tensors(one) if not key.endswith(COUNTER)}
        places = places_of(keys, content, tables)
        share = places[0].count / len(keys) if places else 0
        found.append((share, one, places) if share >= FEW else (0, one, []))
    _, target, places = max(found, key=lambda one: one[0])  # the outermost of equals
    return target, places


def _wrapped(module: nn.Module) -> Iterator[nn.Module]:
    """The module itself, then its only child with weights, and so on inwards."""
    yield module
    names = {key.partition(".")[0] for key in module.state_dict()}
    children = [child for name, child in module.named_children() if name in names]
    if len(names) == 1 and children:
        yield from _wrapped(children[0])


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    torch = require("torch")
    return {key: one for key, one in module.state_dict().items() if torch.is_tensor(one)}


def _chosen(path: Path, places: list[Place], tables: Mapping[str, Table], weights_key: str | None) -> Place:
    if weights_key is not None:
        asked = [one for one in places if one.label == weights_key or one.label.startswith(f"{weights_key}.")]
        if not asked:
            raise ModelError(f"{path} has no weights of the net at '{weights_key}'", f"there are {_labels(places)}")
        places = asked
    if not places:  # nothing fits: the error will compare with the largest mapping
        return Place(max(tables, key=lambda name: len(tables[name])), "", 0, False)
    full = [one for one in places if one.count == places[0].count]
    best = [one for one in full if one.is_averaged] or full
    if len(best) > 1:
        raise ModelError(
            f"{path} holds the net's weights {len(best)} times", f"choose with --weights-key: {_labels(best)}"
        )
    return best[0]


def _labels(places: list[Place]) -> str:
    complete = [str(one) for one in places if one.count * 2 > places[0].count]
    return ", ".join(complete[:SHOWN]) or "none"


def _below(table: Table, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in table.items() if key.startswith(prefix)}


def _notes_on_choice(place: Place, places: list[Place], tables: Mapping[str, Table]) -> Iterator[str]:
    others = [one for one in places if one != place and one.count == place.count]
    if others:
        yield f"the weights are those at {place}; --weights-key takes others: {_labels(others)}"
    for one in places:
        if one.is_averaged and not place.is_averaged and place.count / 2 < one.count < place.count:
            yield f"{one} holds {one.count} of the net's tensors and {place} {place.count}: not taken"
    known = [one.prefix for one in (place, *others) if one.table == place.table]
    beside = [key for key in tables[place.table] if not key.startswith(tuple(known))]
    if beside:
        yield f"left out, as they are not the net's: {some(sorted(beside))}"


def _notes_on_weights(weights: Table, expected: Table) -> Iterator[str]:
    kinds = {str(one.dtype).removeprefix("torch.") for key, one in weights.items() if _is_float(expected.get(key))}
    others = sorted(kinds - {"float32"})
    if others:
        yield f"the checkpoint's numbers are {' and '.join(others)}: converted to float32"
    counters = [key for key in expected if key.endswith(COUNTER) and key not in weights]
    if counters:
        yield f"{len(counters)} counters of batch normalisation ({COUNTER}) are missing, which inference does not use"
    bookkeeping = [key for key in weights if _is_bookkeeping(key, expected)]
    if bookkeeping:
        yield f"left out, as they are no weights: {some(bookkeeping)}"


def _refuse_quantised(path: Path, weights: Table, expected: Table) -> None:
    for key, tensor in weights.items():
        is_narrow = not tensor.is_floating_point() or tensor.itemsize < 2
        if is_narrow and _is_float(expected.get(key)):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(
                f"{path} is quantised: {key} is {kind}, the net's is float32",
                "give the float checkpoint; 'edgeseg build-engine --precision int8' calibrates and quantises",
            )


def _load(module: nn.Module, path: Path, weights: Table, expected: Table) -> Misfit:
    """Load all that fits. The module's own hooks may rename keys, so that torch is asked what was missing."""
    shapes = {
        key: (tuple(tensor.shape), tuple(expected[key].shape))
        for key, tensor in weights.items()
        if key in expected and tensor.shape != expected[key].shape
    }
    fitting = {
        key: tensor for key, tensor in weights.items() if key not in shapes and not _is_bookkeeping(key, expected)
    }
    try:
        missing, extra = module.load_state_dict(fitting, strict=False)
        misfit = Misfit([key for key in missing if key not in shapes], list(extra), shapes)
        renamed = load_renamed(module, weights) if misfit else None
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit the net ({fault_text(error)})", AS_TRAINED) from error
    return misfit if renamed is None else renamed


def _is_float(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.is_floating_point()


def _is_bookkeeping(key: str, expected: Table) -> bool:
    return key not in expected and key.rpartition(".")[2] in BOOKKEEPING
