"""Own the reading of what TensorRT's engine inspector says, in JSON, of an engine's layers. Ask no engine.

An engine whose profiling verbosity was DETAILED has an object a layer under ``Layers``, LAYER_NAMES_ONLY a name, NONE
nothing. TensorRT 10 lists the tensors beside it as names under ``Bindings``, TensorRT 11 as objects under ``I/O
Tensors``. A tensor of a layer tells its type in words: ``Row major linear FP16 format``, ``Half(64,1:8,8)``, ``Int8``.

TensorRT does not say what a layer computes in, so it is concluded, in this order:

1. A layer that only moves, converts or indexes (reformat, shuffle, cast, ...) counts in no type.
2. Convolutions tell the type of their ``Weights``: the products are in it.
3. Other layers of products (gemm, matrix multiplication, attention) multiply in the narrowest type of their inputs, for
   an input that was quantised is there in its codes, whatever the output is.
4. All others compute in the widest type of their inputs and outputs: a fused kernel that dequantises, adds and
   quantises again adds in floating point.

Integers of 32 bits and more, booleans and uint8 are indices and pixels and count in no type.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping

from edgeseg.errors import EngineError
from edgeseg.runtime.layer_facts import LayerFact

__all__ = ["layers_of"]

TYPES = {
    "fp4": "FP4",
    "int4": "INT4",
    "fp8": "FP8",
    "fp8e4m3": "FP8",
    "int8": "INT8",
    "bf16": "BF16",
    "bfloat16": "BF16",
    "fp16": "FP16",
    "half": "FP16",
    "fp32": "FP32",
    "float": "FP32",
    "float32": "FP32",
}
OF_KIND = {"FP4": 4, "INT4": 4, "FP8": 8, "INT8": 8, "BF16": 16, "FP16": 16, "FP32": 32}
BITS = {word: OF_KIND[kind] for word, kind in TYPES.items()}
BITS |= {"int32": 32, "int64": 64, "uint8": 8, "bool": 8}
NARROW_TO_WIDE = ("FP4", "INT4", "FP8", "INT8", "BF16", "FP16", "FP32")
WORD = re.compile(r"[A-Za-z]+\d*(?:E\d+M\d+)?")
ONNX_LAYER = re.compile(r"\[ONNX Layer: (.*?)\](?=\x1e|\x1f|\[|\s|$)")
#: between the parts of a fused layer's name; ``{ForeignNode[first...last]}`` has only its ends
JOINTS = re.compile(r"\s\+\s|\{ForeignNode\[|\]\}|\.\.\.|\s*\|\|\s*")
#: of a tensor, first to last: both were seen to hold the type
TYPE_KEYS = ("Format/Datatype", "DataType", "Datatype", "Format")
MOVING = re.compile(
    r"^(reformat|noop|no_op|shuffle|constant|shape|slice|concat\w*|copy|move|cast|signal|wait|gather|devicetoshapehost|"
    r"shapehosttodevice|assertion|identity|fill)$",
    re.IGNORECASE,
)
PRODUCTS = re.compile(r"conv|gemm|matmul|matrixmultiply|matrix_multiply|fullyconnected|attention|mha", re.IGNORECASE)


def layers_of(text: str) -> tuple[LayerFact, ...]:
    """The layers in their order; without kinds and types where the engine keeps names only.

    Args:
        text: what ``get_engine_information`` gave as JSON.
    Raises:
        EngineError: that is no such JSON.
    """
    try:
        told = json.loads(text)
    except json.JSONDecodeError as error:
        raise _unreadable(str(error)) from error
    layers = told.get("Layers", []) if isinstance(told, dict) else None
    if not isinstance(layers, list):
        raise _unreadable("it has no list of layers")
    return tuple(_layer(one) for one in layers)


def _unreadable(reason: str) -> EngineError:
    return EngineError(
        f"what TensorRT's engine inspector says of the layers cannot be read ({reason})",
        "look with 'trtexec --loadEngine=NET.engine --dumpLayerInfo', and report this",
    )


def _layer(told: object) -> LayerFact:
    if isinstance(told, str):
        return LayerFact(name=told, origins=_origins(told, None))
    if not isinstance(told, dict):
        raise _unreadable(f"a layer is {told!r}")
    name, kind = str(told.get("Name", "")), str(told.get("LayerType", ""))
    return LayerFact(
        name=name,
        kind=kind,
        precision=_precision(told),
        is_moving=MOVING.match(kind) is not None,
        origins=_origins(name, told.get("Metadata")),
        moved_bytes=_moved_bytes(told),
    )


def _origins(name: str, metadata: object) -> tuple[str, ...]:
    """The nodes of the ONNX graph, from the metadata; without them by the name, as in ``conv1 + relu1``."""
    if isinstance(metadata, str) and (named := ONNX_LAYER.findall(metadata)):
        return tuple(dict.fromkeys(named))
    return tuple(filter(None, JOINTS.split(name)))


def _moved_bytes(layer: Mapping[str, object]) -> int | None:
    """None where a tensor's type or shape is not told; weights are inputs of nobody else."""
    told = [layer.get(side) for side in ("Inputs", "Outputs")]
    tensors = [one for side in told if isinstance(side, list) for one in side]
    if not all(isinstance(side, list) for side in told):
        return None
    sizes = [_tensor_bytes(one) for one in tensors]
    for key in ("Weights", "Bias"):
        if isinstance(weights := layer.get(key), dict):
            sizes.append(_bytes_of(weights.get("Type"), [weights.get("Count", 0)]))
    known = [one for one in sizes if one is not None]
    return sum(known) if len(known) == len(sizes) else None


def _tensor_bytes(tensor: object) -> int | None:
    if not isinstance(tensor, dict):
        return None
    words = next((tensor[key] for key in TYPE_KEYS if _bits_in(tensor.get(key)) is not None), None)
    return _bytes_of(words, tensor.get("Dimensions"))


def _bytes_of(words: object, sides: object) -> int | None:
    bits = _bits_in(words)
    if bits is None or not isinstance(sides, list):
        return None
    known = [side for side in sides if isinstance(side, int) and side >= 0]
    return math.ceil(math.prod(known) * bits / 8) if len(known) == len(sides) else None


def _bits_in(words: object) -> int | None:
    if not isinstance(words, str):
        return None
    return next((BITS[word.lower()] for word in WORD.findall(words) if word.lower() in BITS), None)


def _precision(layer: Mapping[str, object]) -> str | None:
    kind = str(layer.get("LayerType", ""))
    if MOVING.match(kind):
        return None
    weights = layer.get("Weights")
    if isinstance(weights, dict) and (of_weights := _type_in(weights.get("Type"))):
        return of_weights
    inputs = _types(layer.get("Inputs"))
    if inputs and PRODUCTS.search(f"{kind} {layer.get('ParameterType', '')} {layer.get('TacticName', '')}"):
        return min(inputs, key=NARROW_TO_WIDE.index)
    return max(inputs + _types(layer.get("Outputs")), key=NARROW_TO_WIDE.index, default=None)


def _types(tensors: object) -> list[str]:
    """Of all tensors that hold numbers to compute with."""
    if not isinstance(tensors, list):
        return []
    found = (_tensor_type(one) for one in tensors if isinstance(one, dict))
    return [one for one in found if one is not None]


def _tensor_type(tensor: Mapping[str, object]) -> str | None:
    return _first(_type_in(tensor.get(key)) for key in TYPE_KEYS)


def _type_in(words: object) -> str | None:
    """``Channel major FP16 format where channel % 4 == 0`` -> ``FP16``."""
    if not isinstance(words, str):
        return None
    return _first(TYPES.get(word.lower()) for word in WORD.findall(words))


def _first(found: Iterable[str | None]) -> str | None:
    return next(filter(None, found), None)
