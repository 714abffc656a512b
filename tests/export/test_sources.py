from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

IMAGE = torch.zeros(1, 3, 16, 32)
ONE_IMAGE = "write a module that takes the image alone, float32 NCHW, and calls it"


class Block(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(torch.relu(self.norm(self.conv(x))), scale_factor=2.0, mode="bilinear")


class Net(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.head = nn.Conv2d(3, 8, 3, 2, 1), Block(), nn.Conv2d(8, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.up(self.stem(x)))


def net() -> Any:
    torch.manual_seed(0)
    return Net().eval()


def scripted(module: Any, make: Callable[[Any], Any] = lambda one: torch.jit.script(one)) -> Any:
    """As another process gives it: saved and loaded."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript as a whole
        torch.jit.save(make(module), buffer)
        buffer.seek(0)
        return torch.jit.load(buffer)


def scripted_here(module: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


def traced(module: Any) -> Any:
    return torch.jit.trace(module, IMAGE)


@pytest.mark.parametrize(
    "source",
    [
        lambda: scripted(net()),
        lambda: scripted(net(), traced),
        lambda: scripted(net(), lambda one: torch.jit.freeze(torch.jit.script(one))),
        lambda: scripted_here(net()),
        lambda: torch.export.export(net(), (IMAGE,)),
    ],
    ids=["scripted", "traced", "frozen", "not saved", "program"],
)
def test_torchscript_and_programs_export_as_the_net_does(export: Any, source: Any) -> None:
    made = source()
    result = export(made)
    assert result.spec.head.shape == (1, 5, 16, 32)
    assert result.parity.relative_error < 1e-5
    assert result.notes == ()


def test_a_programs_modules_are_named_in_the_graph(export: Any, tmp_path: Any) -> None:
    import onnx

    export(torch.export.export(net(), (IMAGE,)))
    (resize,) = (node for node in onnx.load(tmp_path / "net.onnx").graph.node if node.op_type == "Resize")
    notes = {one.key.rpartition(".")[2]: one.value for one in resize.metadata_props}
    assert notes["name_scopes"].startswith("['', 'up', ")
    assert "'Block'" in notes["class_hierarchy"]


def test_a_program_of_free_sizes_is_exported_at_the_asked_one(export: Any) -> None:
    sides = {2: torch.export.Dim("h", min=8, max=64), 3: torch.export.Dim("w", min=8, max=64)}
    program = torch.export.export(net(), (torch.zeros(1, 3, 32, 32),), dynamic_shapes=(sides,))
    assert export(program, size_hw=(16, 48)).spec.head.size_hw == (16, 48)


def test_a_program_of_another_size_is_refused_with_both(refused: Any) -> None:
    assert refused(torch.export.export(net(), (IMAGE,)), size_hw=(32, 32)) == (
        "the exported program takes x (1, 3, 16, 32), not (1, 3, 32, 32): give its --input-size and --colour, or run "
        "torch.export again with dynamic_shapes"
    )


def test_a_program_in_training_mode_is_refused(refused: Any) -> None:
    assert refused(torch.export.export(net().train(), (IMAGE,))) == (
        "the exported program computes as in training (batch_norm): call .eval() on the net and run torch.export again"
    )


def test_script_that_cannot_be_saved_is_refused(refused: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.optimize_for_inference(torch.jit.script(net()))
    told = refused(script)
    assert told.startswith("the TorchScript cannot be saved and loaded (RuntimeError: ")
    assert told.endswith(": give it as it was before torch.jit.optimize_for_inference")


@pytest.mark.parametrize("form", [lambda one: one, scripted])
@pytest.mark.parametrize(("dtype", "name"), [(torch.float16, "float16"), (torch.float64, "float64")])
def test_other_weights_become_float32_with_a_note(export: Any, form: Any, dtype: Any, name: str) -> None:
    result = export(form(net().to(dtype)))
    assert result.notes == (f"the net's numbers are {name}: converted to float32",)
    assert result.parity.relative_error < 1e-5


class Trained(nn.Module):  # type: ignore[misc, name-defined]
    """Gives an auxiliary output while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.Dropout(0.9)

    def forward(self, x: Any) -> Any:
        out = self.drop(self.norm(self.conv(x)))
        return (out, out.mean()) if self.training else out


def test_a_net_in_training_mode_is_exported_in_evaluation_mode_with_a_note(export: Any) -> None:
    result = export(Trained().train())
    assert result.notes == ("Trained was in training mode: exported in evaluation mode",)
    assert result.parity.relative_error < 1e-5


def test_the_first_module_in_training_mode_is_named(export: Any) -> None:
    module = net()
    module.up.norm.train()
    assert export(module).notes == ("up.norm (BatchNorm2d) was in training mode: exported in evaluation mode",)


class Two(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image + mask


class Nothing(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self) -> Any:
        return torch.zeros(1)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (Two, f"Two takes 2 inputs (image, mask), not one image: {ONE_IMAGE}"),
        (lambda: scripted(Two()), f"Two takes 2 inputs (image, mask), not one image: {ONE_IMAGE}"),
        (
            lambda: torch.export.export(Two(), (IMAGE, IMAGE)),
            f"the exported program takes 2 inputs (image, mask), not one image: {ONE_IMAGE}",
        ),
        (Nothing, f"Nothing takes no input: {ONE_IMAGE}"),
        (
            lambda: torch.export.export(nn.Linear(10, 5), (torch.zeros(1, 10),)),
            f"the exported program takes input (1, 10), no image (1, 3, 16, 32): {ONE_IMAGE}",
        ),
    ],
)
def test_a_net_that_takes_no_single_image_is_refused(refused: Any, source: Any, told: str) -> None:
    assert refused(source()) == told


def test_a_net_that_takes_a_vector_is_refused_with_its_layer(refused: Any) -> None:
    told = refused(nn.Sequential(nn.Linear(10, 5)).eval())
    assert told.startswith("the net does not run on float32 (1, 3, 16, 32) (RuntimeError: mat1 and mat2")
    assert told.endswith("in 0 (Linear)): check --input-size, --colour and --arg")


def test_further_arguments_with_defaults_do_no_harm(export: Any) -> None:
    class Labelled(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, pixels: Any, labels: Any = None) -> Any:
            return {"loss": None if labels is None else labels, "logits": self.conv(pixels)}

    assert export(Labelled().eval()).spec.head.channels == 5
