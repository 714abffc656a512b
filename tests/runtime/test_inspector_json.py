"""What is read out of the JSON of TensorRT's engine inspector, in the forms of TensorRT 10 and 11."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgeseg.errors import EngineError
from edgeseg.runtime.inspector_json import layers_of
from edgeseg.runtime.layer_facts import plan_facts

INT8_ROWS = "Thirty-two wide channel vectorized row major Int8 format."
FP16_ROWS = "Channel major FP16 format where channel % 8 == 0"
FP32_ROWS = "Row major linear FP32 format"


def tensor(words: str, *, key: str = "Format/Datatype") -> dict[str, Any]:
    return {"Name": "x", "Location": "Device", "Dimensions": [1, 8, 32, 64], key: words}


def layer(kind: str, inputs: list[str], outputs: list[str], **more: Any) -> dict[str, Any]:
    tensors = {"Inputs": [tensor(one) for one in inputs], "Outputs": [tensor(one) for one in outputs]}
    return {"Name": f"a {kind}", "LayerType": kind, **tensors, **more}


CONV_INT8 = layer(
    "CaskConvolution",
    [INT8_ROWS],
    [INT8_ROWS],
    ParameterType="Convolution",
    Weights={"Type": "Int8", "Count": 9216},
    Bias={"Type": "Float", "Count": 32},
    TacticName="sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32",
)
CONV_HALF = layer("CaskConvolution", [FP16_ROWS], [FP16_ROWS], Weights={"Type": "Half", "Count": 864})
TEN: dict[str, Any] = {"Layers": [CONV_INT8, CONV_HALF], "Bindings": ["image", "logits"]}
ELEVEN: dict[str, Any] = {
    "Layers": [CONV_INT8, CONV_HALF],
    "I/O Tensors": [
        {
            "Name": "image",
            "IOMode": "Input",
            "DataType": "Float",
            "Dimensions": [1, 3, 32, 64],
            "Location": "Device",
            "IsShapeInferenceIO": False,
            "ProfileInfo": [{"MinShape": [1, 3, 32, 64], "Format": "Row major linear FP32 format (kLINEAR)"}],
        }
    ],
    "ProfilingVerbosity": "DETAILED",
    "Engine Metadata": {"Multi-Device": "Disabled"},
}


@pytest.mark.parametrize("told", [TEN, ELEVEN], ids=("TensorRT 10", "TensorRT 11"))
def test_both_forms_give_the_same_layers(told: dict[str, Any]) -> None:
    layers = layers_of(json.dumps(told))
    assert [one.precision for one in layers] == ["INT8", "FP16"]
    assert [one.kind for one in layers] == ["CaskConvolution"] * 2
    facts = plan_facts(layers)
    assert facts.layers == 2 and facts.by_precision == {"FP16": 1, "INT8": 1}


def test_names_alone_are_layers_whose_types_are_not_known() -> None:
    layers = layers_of(json.dumps({"Layers": ["stem + relu", "head"], "Bindings": ["image", "logits"]}))
    assert [one.name for one in layers] == ["stem + relu", "head"]
    assert plan_facts(layers).by_precision == {}


@pytest.mark.parametrize("told", [{"Layers": []}, {"Bindings": ["image"]}])
def test_an_engine_that_keeps_nothing_has_no_layers(told: dict[str, Any]) -> None:
    assert layers_of(json.dumps(told)) == ()


@pytest.mark.parametrize(
    ("one", "precision"),
    [
        # the weights say it, whatever leaves the layer
        (layer("CaskConvolution", [INT8_ROWS], [FP32_ROWS], Weights={"Type": "Int8", "Count": 1}), "INT8"),
        (layer("CaskDeconvolutionV2", [FP16_ROWS], [FP16_ROWS], Weights={"Type": "Half", "Count": 1}), "FP16"),
        # products without weights of their own: the narrowest input
        (layer("gemm", ["Int8", "Int8", "Float"], ["Half"]), "INT8"),
        (layer("fusion", ["Int8", "Int8"], ["Half"], TacticName="sm80_xmma_gemm_i8f16_i8i32_f16"), "INT8"),
        (layer("gemm", ["FP8", "FP8"], ["BF16"]), "FP8"),
        (layer("kgen", ["Half"], ["Half"], ParameterType="MatrixMultiply"), "FP16"),
        # all else: the widest of inputs and outputs
        (layer("kgen", ["Int8", "Int8"], ["Half"]), "FP16"),
        (layer("kgen", ["Half(64,1:8,8)"], ["Int8(64,1:32,8)"]), "FP16"),
        (layer("CaskPooling", [INT8_ROWS], [INT8_ROWS]), "INT8"),
        (layer("PointWiseV2", [FP32_ROWS], [INT8_ROWS]), "FP32"),
        (layer("Resize", ["BFloat16"], ["BFloat16"]), "BF16"),
        # what moves, converts or indexes
        (layer("Reformat", [FP32_ROWS], [FP16_ROWS]), None),
        (layer("NoOp", [FP32_ROWS], [FP32_ROWS]), None),
        (layer("Shuffle", [FP16_ROWS], [FP16_ROWS]), None),
        (layer("kgen", ["Int32"], ["Int64"]), None),
        (layer("TopK", ["N/A due to dynamic shapes"], ["Int32"]), None),
    ],
    ids=lambda one: one["LayerType"] if isinstance(one, dict) else "",
)
def test_a_layer_counts_in_the_type_of_its_arithmetic(one: dict[str, Any], precision: str | None) -> None:
    (found,) = layers_of(json.dumps({"Layers": [one]}))
    assert found.precision == precision


@pytest.mark.parametrize("key", ["Format/Datatype", "DataType", "Datatype", "Format"])
def test_a_tensors_type_is_found_under_every_key_that_it_is_told_by(key: str) -> None:
    one = {"Name": "up", "LayerType": "Resize", "Inputs": [tensor("FP16", key=key)], "Outputs": []}
    (found,) = layers_of(json.dumps({"Layers": [one]}))
    assert found.precision == "FP16"


@pytest.mark.parametrize("text", ["", "{", '{"Layers": [}', "[]", '{"Layers": {}}', '{"Layers": [3]}'])
def test_what_is_no_such_json_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(EngineError, match=r"engine inspector .* cannot be read \(.+\): look with 'trtexec"):
        layers_of(text)


@pytest.mark.parametrize(
    ("name", "metadata", "expected"),
    [
        ("myelin_7", "[ONNX Layer: /stem/Conv]\x1e[ONNX Layer: relu]\x1e[ONNX Layer: relu]", ("/stem/Conv", "relu")),
        ("stem + relu", None, ("stem", "relu")),
        ("{ForeignNode[first...last]}", "", ("first", "last")),
        ("head", "nothing known", ("head",)),
    ],
)
def test_a_layers_nodes_are_those_of_its_metadata_else_of_its_name(
    name: str, metadata: str | None, expected: tuple[str, ...]
) -> None:
    told = layer("CaskConvolution", [FP16_ROWS], [FP16_ROWS]) | {"Name": name, "Metadata": metadata}
    (found,) = layers_of(json.dumps({"Layers": [told]}))
    assert found.origins == expected


def test_names_alone_tell_their_nodes() -> None:
    (found,) = layers_of(json.dumps({"Layers": ["stem + relu"]}))
    assert (found.origins, found.moved_bytes) == (("stem", "relu"), None)


def test_a_layer_moves_inputs_outputs_and_weights_in_their_types() -> None:
    values = 8 * 32 * 64
    convolution, reformat = layers_of(json.dumps({"Layers": [CONV_INT8, layer("Reformat", [FP32_ROWS], [FP16_ROWS])]}))
    assert convolution.moved_bytes == 2 * values + 9216 + 4 * 32
    assert (reformat.moved_bytes, reformat.is_moving) == (6 * values, True)


@pytest.mark.parametrize(("key", "value"), [("Dimensions", [-1, 8, 32, 64]), ("Format/Datatype", "a new type")])
def test_bytes_of_an_open_shape_or_an_unknown_type_are_not_known(key: str, value: object) -> None:
    told = layer("CaskConvolution", [FP16_ROWS], [FP16_ROWS])
    told["Outputs"][0][key] = value
    (found,) = layers_of(json.dumps({"Layers": [told]}))
    assert found.moved_bytes is None
