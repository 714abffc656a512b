from __future__ import annotations

import inspect
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

HERE = "test_tracing.py"


class Gate(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        if x.sum() > 0:
            return x
        return -x


class Count(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return x[:, :, : int(x.max().item()) + 1]


class ThroughNumpy(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return torch.from_numpy(x.numpy() * 2)


class Decomposed(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return x * torch.linalg.svdvals(x)[..., :1, None]


@torch.library.custom_op("edgeseg_tests::wobble", mutates_args=())
def wobble(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@wobble.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Custom(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return wobble(x)


def deep(module: Any) -> Any:
    """A net with ``module`` as 1.0."""
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(module), nn.Conv2d(4, 5, 1)).eval()


def line(module: type, text: str) -> str:
    lines, first = inspect.getsourcelines(module)
    return f"{HERE}:{first + next(index for index, one in enumerate(lines) if text in one)}"


@pytest.mark.parametrize(("module", "text"), [(Gate, "if x.sum()"), (Count, "item()")])
def test_control_flow_by_values_is_refused_with_its_module_and_line(refused: Any, module: Any, text: str) -> None:
    assert refused(deep(module())) == (
        f"forward() goes another way for other pixels (1.0 ({module.__name__}), {line(module, text)}), which a graph "
        "cannot: use torch.where, or take the branch out of forward()"
    )


def test_what_cannot_be_traced_is_refused_with_its_module_and_line(refused: Any) -> None:
    assert refused(deep(ThroughNumpy())) == (
        "torch.export cannot trace the net (RuntimeError: .numpy() is not supported for tensor subclasses., in 1.0 "
        f"(ThroughNumpy), {line(ThroughNumpy, 'numpy()')}): make forward() of tensor operations alone"
    )


@pytest.mark.parametrize(
    ("module", "operator"),
    [(Custom, "edgeseg_tests.wobble.default"), (Decomposed, "aten._linalg_svd.default")],
)
def test_an_operator_without_onnx_is_refused_with_its_module(refused: Any, module: Any, operator: str) -> None:
    assert refused(deep(module())) == (
        f"ONNX has no word for {operator} in 1.0 ({module.__name__}): write it with other operators"
    )


def test_an_operator_of_the_whole_net_is_placed_there(refused: Any) -> None:
    assert refused(Custom().eval()) == (
        "ONNX has no word for edgeseg_tests.wobble.default in Custom: write it with other operators"
    )


@pytest.mark.parametrize("module", [Gate, Custom])
def test_torch_prints_nothing_of_its_own(refused: Any, module: Any, capfd: pytest.CaptureFixture[str]) -> None:
    refused(deep(module()))
    assert capfd.readouterr() == ("", "")


def test_pyramid_pooling_of_one_size_is_exported(export: Any) -> None:
    class Pyramid(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            pooled = (F.adaptive_avg_pool2d(x, size) for size in (1, 2, 3, 6))
            return torch.cat([x, *(F.interpolate(one, size=x.shape[-2:], mode="bilinear") for one in pooled)], 1)

    assert export(Pyramid().eval()).parity.relative_error < 1e-5
