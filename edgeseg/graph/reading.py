"""Own the reading of an ONNX file and the checks before anything is made of it. Change no graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError
from edgeseg.files import read_file, sha256_of, sha256_of_file
from edgeseg.graph.access import described, infer_shapes, shape_of
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["GraphFile", "ImageInput", "image_input", "read_graph", "read_hashes"]

# larger constants are weights, smaller ones may be sizes and axes
DATA_BYTES = 1000
PROTOBUF_BYTES = 2_000_000_000  # onnx.checker refuses bytes from 2 GiB on, a few of which are its own
EXPORT_AGAIN = "export it again, for example with 'edgeseg export'"


@dataclass(frozen=True, kw_only=True)
class GraphFile:
    """An ONNX file that was read and is well formed.

    ``weights_sha256`` is that of its external data, None where all weights are inside; ``file_bytes`` counts both.
    The model's external tensors are read when they are first used, so the files must stay.
    """

    path: Path
    model: ir.Model
    sha256: str
    weights_sha256: str | None
    file_bytes: int


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """The only input of a graph, 4-D; a free dimension is its name, or "?"."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


def read_graph(path: Path) -> GraphFile:
    """Read an ONNX file and check it: operators, order, shapes, external data, and that it takes one image.

    Functions in the model are inlined, and weights are no inputs in what is returned.

    Raises:
        ModelError: missing, empty, no ONNX, a cycle, shapes that do not fit, weights missing, or not one 4-D input.
    """
    data = read_file(path, error=ModelError, make_it=EXPORT_AGAIN)
    model = _deserialised(path, data)
    passes = require("onnx_ir.passes.common")
    passes.RemoveInitializersFromInputsPass()(model)
    image_input(path, model)
    weights = _external_files(path, model)
    _check_order(path, model)
    _check(path, data if not weights and len(data) < PROTOBUF_BYTES else None)
    _load_small(model)
    _check_shapes(path, model)
    passes.InlinePass()(model)
    passes.NameFixPass()(model)  # rules, parsers and messages speak of nodes by their names
    infer_shapes(model)
    _check_channels(path, model)
    return GraphFile(
        path=path,
        model=model,
        sha256=sha256_of(data),
        weights_sha256=_hash_of(weights),
        file_bytes=len(data) + sum(one.stat().st_size for one in weights),
    )


def read_hashes(path: Path) -> tuple[str, str | None]:
    """The hashes of ``GraphFile``, of the file and of the weights beside it, without checking the graph.

    Raises:
        ModelError: missing, empty, no ONNX, or weights missing.
    """
    data = read_file(path, error=ModelError, make_it=EXPORT_AGAIN)
    return sha256_of(data), _hash_of(_external_files(path, _deserialised(path, data)))


def image_input(path: Path, model: ir.Model) -> ImageInput:
    """The graph's input.

    Raises:
        ModelError: not one 4-D input.
    """
    inputs = [
        ImageInput(name=one.name or "", shape=_sides(one), dtype=one.dtype.name.lower() if one.dtype else "unknown")
        for one in model.graph.inputs
    ]
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        told = ", ".join(f"{one.name} {one.shape}" for one in inputs) or "none"
        raise ModelError(f"{path} has the inputs {told}", "a net takes one 4-D image, (1, channels, height, width)")
    return inputs[0]


def _sides(value: ir.Value) -> tuple[int | str, ...]:
    return tuple(side if isinstance(side, int) else str(side.value or "?") for side in value.shape or ())


def _deserialised(path: Path, data: bytes) -> ir.Model:
    onnx_ir, onnx = require("onnx_ir"), require("onnx")
    protobuf_error = require("google.protobuf.message").DecodeError
    try:
        proto = onnx.load_model_from_string(data)
    except protobuf_error as error:
        raise ModelError(f"{path} is no ONNX file ({_first_line(error)})", EXPORT_AGAIN) from error
    if not proto.graph.node:
        raise ModelError(f"{path} is no ONNX file (it holds no graph)", EXPORT_AGAIN)
    model: ir.Model = onnx_ir.from_proto(proto)
    onnx_ir.external_data.set_base_dir(model.graph, path.parent)
    return model


def _external_files(path: Path, model: ir.Model) -> list[Path]:
    """The files that hold the graph's weights beside it, each there and long enough."""
    needed: dict[Path, int] = {}
    for tensor in (value.const_value for value in _external_values(model)):
        file = path.parent / str(tensor.location)
        needed[file] = max(needed.get(file, 0), (tensor.offset or 0) + (tensor.length or 0))
    for file, size in needed.items():
        found = file.stat().st_size if file.is_file() else None
        if found is None or found < size:
            state = "is missing" if found is None else f"has {found} bytes, at least {size} are needed"
            raise ModelError(f"{path} keeps its weights in {file}, which {state}", "copy the two files together")
    return sorted(needed)


def _external_values(model: ir.Model) -> Iterator[Any]:
    external = require("onnx_ir").ExternalTensor
    for graph in model.graphs():
        yield from (value for value in graph.initializers.values() if isinstance(value.const_value, external))


def _load_small(model: ir.Model) -> None:
    """Sizes and axes that were put beside the graph too: shapes depend on them."""
    for value in _external_values(model):
        if value.const_value.nbytes <= DATA_BYTES:
            value.const_value = require("onnx_ir").tensor(value.const_value.numpy().copy(), name=value.name)


def _hash_of(weights: list[Path]) -> str | None:
    """Of one file its own hash, of several that of all their hashes."""
    hashes = [sha256_of_file(file) for file in weights]
    if len(hashes) > 1:
        return sha256_of("".join(hashes).encode())
    return hashes[0] if hashes else None


def _check_order(path: Path, model: ir.Model) -> None:
    """A cycle is named; the checker would only say that the nodes are not sorted."""
    seen: dict[ir.Node, bool] = {}  # False while the search is below the node
    for start in model.graph:
        stack = [start]
        while stack:
            node = stack[-1]
            if node not in seen:
                seen[node] = False
                before = [value.producer() for value in node.inputs if value is not None]
                ahead = [one for one in before if one is not None and not seen.get(one, False)]
                closing = next((one for one in ahead if one in seen), None)
                if closing is not None:
                    raise ModelError(
                        f"{path} has a cycle: {described(closing)} needs its own result by way of {described(node)}",
                        EXPORT_AGAIN,
                    )
                stack += ahead
            else:
                seen[node] = True
                stack.pop()


def _check(path: Path, data: bytes | None) -> None:
    """By its bytes; without these by path, which finds weights beside it and takes files above 2 GiB, but takes long.

    Of 116 MB the bytes take 0.15 s, the path 2.5 s in one call that Ctrl-C does not end (onnx 1.21).
    """
    onnx = require("onnx")
    try:
        onnx.checker.check_model(str(path) if data is None else data)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{path} is no valid ONNX file ({_one_line(error)})", EXPORT_AGAIN) from error


def _check_shapes(path: Path, model: ir.Model) -> None:
    """Shape inference that raises; of large weights it needs the shape alone.

    Not of those with one axis: ONNX takes an input with one axis for a list of sizes, and refuses (272,) - (50, 1).
    """
    onnx, onnx_ir = require("onnx"), require("onnx_ir")
    light = model.clone()
    for name, value in list(light.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > DATA_BYTES and len(tensor.shape) > 1:
            light.graph.initializers.pop(name)
            light.graph.inputs.append(value)
    try:
        onnx.shape_inference.infer_shapes(onnx_ir.to_proto(light), check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"{path} has shapes that do not fit ({_one_line(error)})", EXPORT_AGAIN) from error


def _check_channels(path: Path, model: ir.Model) -> None:
    """ONNX's shape inference lets a convolution pass whose weights are made for another number of channels."""
    for node in model.graph:
        if node.op_type != "Conv" or node.domain:
            continue
        image, weights = shape_of(node.inputs[0]), shape_of(node.inputs[1])
        group = node.attributes.get_int("group", 1)
        if image and weights and image[1] != weights[1] * group:
            raise ModelError(
                f"{path} has shapes that do not fit: {described(node)} gets {image[1]} channels, "
                f"its weights take {weights[1] * group}",
                EXPORT_AGAIN,
            )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
