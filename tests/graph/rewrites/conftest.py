"""How rewrites are tested: a graph as it stands before them, its numbers in ONNX Runtime, the real builder's word."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgeseg.errors import BuildError
from edgeseg.graph.access import infer_shapes
from edgeseg.graph.rewrites import rewrite
from edgeseg.graph.simplifying import simplified, with_input_shape

OPSET = 19
Arrays = Mapping[str, np.ndarray]


class Lab:
    """The tools of these tests."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "net.onnx"

    def exported(self, module: object, *arrays: np.ndarray, opset: int = OPSET) -> ir.Model:
        """A torch module as it reaches the rewrites: exported by torch.export, simplified, shapes known."""
        import torch

        assert isinstance(module, torch.nn.Module)
        inputs = tuple(torch.from_numpy(one) for one in arrays)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own, of what it is about to change
            program = torch.onnx.export(
                module.eval(), inputs, dynamo=True, opset_version=opset, verbose=False, optimize=True
            )
        assert program is not None
        return simplified(with_input_shape(ir.from_proto(program.model_proto), arrays[0].shape))

    def graph_of(
        self,
        nodes: list[onnx.NodeProto],
        inputs: Mapping[str, tuple[type, tuple[int, ...]]],
        outputs: Mapping[str, type],
        weights: Arrays | None = None,
        *,
        opset: int = OPSET,
    ) -> ir.Model:
        """A graph of hand-made nodes, its shapes inferred; nodes without a name get their first output's."""
        for node in nodes:
            node.name = node.name or f"node_{node.output[0]}"
        tensor_type = helper.np_dtype_to_tensor_dtype
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info(k, tensor_type(np.dtype(d)), shape) for k, (d, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, tensor_type(np.dtype(d)), None) for name, d in outputs.items()],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
        )
        model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))
        infer_shapes(model)
        return model

    def run(self, model: ir.Model, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs in ONNX Runtime, node by node as they stand: none fused, none folded."""
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto, full_check=True)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        return [np.asarray(one) for one in session.run(None, dict(zip(names, arrays, strict=True)))]

    def rewritten(self, model: ir.Model, *rules: str) -> ir.Model:
        """A copy after these rewrites and no others; the checker is content, shapes are known, the outputs stay."""
        copy = model.clone()
        done = rewrite(copy)
        assert {one.rule for one in done} == set(rules), done
        onnx.checker.check_model(ir.to_proto(copy), full_check=True)
        values = [one for node in copy.graph for one in node.outputs]
        assert all(one.shape is not None and one.dtype is not None for one in values)
        assert [(one.name, one.dtype, one.shape) for one in copy.graph.outputs] == [
            (one.name, one.dtype, one.shape) for one in model.graph.outputs
        ]
        return copy

    def ops(self, model: ir.Model) -> list[str]:
        """The operators of a graph, in order."""
        return [node.op_type for node in model.graph]

    def refusal(self, model: ir.Model) -> str:
        """What the real TensorRT-RTX parser and builder say against a graph; empty where they build it."""
        pytest.importorskip("tensorrt_rtx")
        from edgeseg.builder.backends import open_backend

        ir.save(model, self._file)
        try:
            open_backend("tensorrt-rtx").build(self._file, precision="fp32", progress=lambda share, what: None)
        except BuildError as error:
            return error.what
        return ""

    def openvino(self, model: ir.Model, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs in OpenVINO, in float32."""
        openvino = pytest.importorskip("openvino")
        ir.save(model, self._file)
        compiled = openvino.Core().compile_model(self._file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return list(compiled(list(arrays)).values())

    def simplified(self, model: ir.Model) -> ir.Model:
        """What becomes of a graph after the rewrites."""
        return simplified(model)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("rewrites"))
