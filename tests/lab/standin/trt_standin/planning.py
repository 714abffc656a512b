"""Own what a finished plan says: tensors, layers after fusion, memory, weights left out. Refuse nothing."""

from __future__ import annotations

import math
from typing import Any

import onnx

from trt_standin.config import IBuilderConfig
from trt_standin.enums import BuilderFlag, TensorFormat
from trt_standin.network import ILayer, INetworkDefinition, ITensor
from trt_standin.plan import IO, Layer, Plan, pack
from trt_standin.releases import VERSION, setting

__all__ = ["make_plan"]

ITEM_BYTES = {"FLOAT": 4, "HALF": 2, "BF16": 2, "INT8": 1, "UINT8": 1, "FP8": 1, "BOOL": 1, "INT32": 4, "INT64": 8}
PRECISIONS = {"FLOAT": "FP32", "HALF": "FP16", "BF16": "BF16", "INT8": "INT8", "FP8": "FP8", "UINT8": "UINT8"}
COMPUTING = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
ALIGNMENT = 512


def make_plan(network: INetworkDefinition, config: IBuilderConfig) -> bytes:
    """The plan's bytes; a stripped one has zeros for weights."""
    layers = _layers(network)
    is_stripped = config.get_flag(BuilderFlag.STRIP_PLAN)
    model = onnx.ModelProto.FromString(network._model.SerializeToString())
    weights = {one.name: _weight_bytes(one) for one in model.graph.initializer}
    if is_stripped:
        for one in model.graph.initializer:
            _strip(one)
    values: Any = config
    plan = Plan(
        version=VERSION,
        compute_capability=setting("CC", "8.7"),
        device=setting("DEVICE", "Orin"),
        compatibility=values.hardware_compatibility_level.name,
        is_version_compatible=config.get_flag(BuilderFlag.VERSION_COMPATIBLE),
        has_lean_runtime=config.get_flag(BuilderFlag.VERSION_COMPATIBLE)
        and not config.get_flag(BuilderFlag.EXCLUDE_LEAN_RUNTIME),
        is_refittable=is_stripped or any(config.get_flag(one) for one in _refit_flags()),
        stripped=list(weights) if is_stripped else [],
        verbosity=values.profiling_verbosity.name,
        io=[_io(one) for one in [*network._inputs, *network._outputs]],
        profiles=[
            {name: [list(one) for one in shapes] for name, shapes in each._shapes.items()} for each in config._profiles
        ],
        layers=layers,
        activation_bytes=_activation_bytes(network, config),
        weight_bytes=sum(weights.values()),
        aux_streams=max(config.max_aux_streams, 0),
        flags=[name for name, flag in BuilderFlag.__members__.items() if config.get_flag(flag)],
        pools=dict(config._pools),
        timed=_time(config, layers),
    )
    return pack(plan, model.SerializeToString())


def _refit_flags() -> list[Any]:
    return [getattr(BuilderFlag, name) for name in ("REFIT", "REFIT_IDENTICAL", "REFIT_INDIVIDUAL")]


def _weight_bytes(one: Any) -> int:
    return math.prod(one.dims) * onnx.helper.tensor_dtype_to_np_dtype(one.data_type).itemsize


def _strip(one: Any) -> None:
    """Zeros in place of a weight; the scales of Q/DQ stay where they are one number, as a plan's constants do."""
    size = _weight_bytes(one)
    for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        one.ClearField(field)
    one.raw_data = bytes(size)


def _io(tensor: ITensor) -> IO:
    numbers = [number for number in range(13) if tensor.allowed_formats >> number & 1]
    return IO(
        name=tensor.name,
        mode=tensor._mode,
        dtype=tensor.dtype.name,
        shape=list(tensor.shape),
        format=TensorFormat(numbers[0]).name,
    )


def _layers(network: INetworkDefinition) -> list[Layer]:
    """Q/DQ and casts go into their neighbours, an activation into the convolution before it."""
    found: list[Layer] = []
    for layer in network._layers:
        if layer.type.name in ("QUANTIZE", "DEQUANTIZE", "CAST", "CONSTANT", "IDENTITY"):
            continue
        if layer.type.name == "ACTIVATION" and found and found[-1].kind in COMPUTING:
            found[-1].name += f" + {layer.name}"
            found[-1].outputs = _tensors(layer._outputs)
            found[-1].nodes.append(layer.name)
        else:
            found.append(_layer(network, layer))
    return found


def _layer(network: INetworkDefinition, layer: ILayer) -> Layer:
    makers = {output.name: one for one in network._layers for output in one._outputs}
    feeding = [makers[one.name].type.name for one in layer._inputs if one.name in makers]
    is_int8 = layer.type.name in COMPUTING and feeding[:1] == ["DEQUANTIZE"]
    dtype = layer._outputs[0].dtype.name if layer._outputs else "FLOAT"
    return Layer(
        name=layer.name,
        kind=layer.type.name,
        precision="INT8" if is_int8 else PRECISIONS.get(dtype, "FP32"),
        inputs=_tensors(layer._inputs),
        outputs=_tensors(layer._outputs),
        nodes=[layer.name],
    )


def _tensors(tensors: list[ITensor]) -> list[tuple[str, list[int]]]:
    return [(one.name, list(one.shape)) for one in tensors]


def _activation_bytes(network: INetworkDefinition, config: IBuilderConfig) -> int:
    """The two largest tensors; open sides as the largest profile has them."""
    largest = [max(max(one[2]) for one in each._shapes.values()) for each in config._profiles if each._shapes]
    side = max(largest, default=1)
    sizes = [
        math.prod(side if one < 0 else one for one in tensor.shape) * ITEM_BYTES.get(tensor.dtype.name, 4)
        for tensor in network._tensors.values()
    ]
    total = sum(sorted(sizes)[-2:])
    return -(-total // ALIGNMENT) * ALIGNMENT


def _time(config: IBuilderConfig, layers: list[Layer]) -> int:
    """Time what the timing cache does not know; the entry of a layer is its type, precision and shapes."""
    known = config._cache._times_ms if config._cache is not None else {}
    fresh = {f"{one.name}|{one.kind}|{one.precision}|{one.inputs}|{one.outputs}" for one in layers} - set(known)
    known.update({key: 0.01 * len(key) for key in fresh})
    return len(fresh)
