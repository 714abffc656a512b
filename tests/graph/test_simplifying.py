"""Fixing a shape: free dimensions become numbers, what they decide becomes constant, nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from edgeseg.graph.access import NAME_SCOPES, module_path, shape_of
from edgeseg.graph.simplifying import simplified, with_input_shape

torch = pytest.importorskip("torch")


def dynamic_net() -> tuple[torch.nn.Module, ir.Model]:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.BatchNorm2d(4), torch.nn.ReLU())

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            low = self.stem(image)
            return torch.nn.functional.interpolate(low, size=image.shape[-2:], mode="bilinear")

    torch.manual_seed(0)
    net = Net().eval()
    free = {2: 2 * torch.export.Dim("h"), 3: 2 * torch.export.Dim("w")}
    program = torch.onnx.export(
        net, (torch.rand(1, 3, 32, 48),), dynamo=True, opset_version=19, verbose=False, dynamic_shapes=({**free},)
    )
    return net, program.model


def test_a_dynamic_graph_gets_one_size_for_good_and_computes_the_same() -> None:
    net, model = dynamic_net()
    fixed = simplified(with_input_shape(model, (1, 3, 40, 64)))
    assert {node.op_type for node in model.graph} & {"Shape", "Concat"}
    assert not {node.op_type for node in fixed.graph} & {"Shape", "Concat", "BatchNormalization"}
    assert all(shape_of(value) for node in fixed.graph for value in node.outputs)
    image = torch.rand(1, 3, 40, 64)
    session = onnxruntime.InferenceSession(ir.to_proto(fixed).SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {fixed.graph.inputs[0].name: image.numpy()})
    np.testing.assert_allclose(found, net(image).detach().numpy(), atol=1e-5)


def test_the_model_that_was_given_keeps_its_free_dimensions() -> None:
    _, model = dynamic_net()
    with_input_shape(model, (1, 3, 40, 64))
    assert shape_of(model.graph.inputs[0]) is None


def test_nodes_keep_their_place_in_the_module_tree() -> None:
    _, model = dynamic_net()
    fixed = simplified(with_input_shape(model, (1, 3, 40, 64)))
    relu = next(node for node in fixed.graph if node.op_type == "Relu")
    assert NAME_SCOPES in relu.metadata_props
    assert module_path(relu) == "stem.2 (ReLU)"
