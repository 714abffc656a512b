from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

from edgeseg.export.divergence import first_nan  # noqa: E402
from edgeseg.spec import ProfileSpec  # noqa: E402


def other_when_exported(x: Any) -> Any:
    return x * 1.5 if torch.compiler.is_exporting() else x


class Up(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, *, is_faithful: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.is_faithful = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), is_faithful

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.norm(self.conv(x)))
        return F.interpolate(x if self.is_faithful else other_when_exported(x), scale_factor=2.0)


class Decoder(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.up1, self.up2 = Up(is_faithful=True), Up(is_faithful=False)

    def forward(self, x: Any) -> Any:
        return self.up2(self.up1(x))


class Net(nn.Module):  # type: ignore[misc, name-defined]
    """An activation in place, that changes what the module before it gave, among its modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(inplace=True)
        self.decoder, self.head = Decoder(), nn.Conv2d(8, 5, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.decoder(self.act(self.stem(x))))


class Shared(nn.Module):  # type: ignore[misc, name-defined]
    """Calls one module twice, under two names, and differs between the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 5, 1)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())
        self.again = self.block

    def forward(self, x: Any) -> Any:
        return self.head(self.again(other_when_exported(self.block(self.stem(x)))))


class End(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 5, 1)

    def forward(self, x: Any) -> Any:
        return other_when_exported(self.head(x))


class Outside(End):
    """Differs where no module's output is a tensor any more."""

    def forward(self, x: Any) -> Any:
        return {"scores": super().forward(x)}


class Bare(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return {"scores": torch.cat([other_when_exported(x), 1 - x], 1)}


@pytest.mark.parametrize("outside", [1_800_000_000, 100], ids=["inside", "weights apart"])
def test_the_first_module_that_differs_is_named(refused: Any, outside: int) -> None:
    torch.manual_seed(0)
    told = refused(Net().eval(), inside_bytes=outside)
    assert told.startswith("ONNX differs from PyTorch on the photograph: scores by up to ")
    assert "nothing was written; decoder.up2 (Up): ONNX differs by 5.0e-01 there, everything before it agrees" in told


def test_the_call_that_differs_is_named(refused: Any) -> None:
    torch.manual_seed(0)
    assert "; block.0 (Conv2d), call 2: ONNX differs by " in refused(Shared().eval())


def test_the_net_itself_is_named_where_its_modules_agree(refused: Any) -> None:
    torch.manual_seed(0)
    assert "; End: ONNX differs by 5.0e-01 there, everything before it agrees to " in refused(End().eval())


def test_how_far_all_modules_agree_is_told_where_none_differs(refused: Any) -> None:
    torch.manual_seed(0)
    told = refused(Outside().eval())
    assert "; all 1 modules that can be compared agree to " in told
    assert told.endswith(", up to head (Conv2d)")


def test_a_net_without_modules_says_so(refused: Any) -> None:
    assert refused(Bare().eval()).endswith("; no module inside the net can be compared")


def test_a_size_at_which_the_net_differs_is_named_with_the_module(refused: Any) -> None:
    torch.manual_seed(0)
    profile = ProfileSpec(minimum=(1, 8, 16), optimum=(1, 16, 32), maximum=(2, 32, 64), step_hw=(8, 8))
    assert "; decoder.up2 (Up): ONNX differs by 5.0e-01 there" in refused(Net().eval(), profile=profile)


def test_more_modules_than_are_compared_at_once_are_gone_through(refused: Any) -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(40) for layer in (nn.Conv2d(8, 8, 1), nn.Tanh())]
    net = nn.Sequential(nn.Conv2d(3, 8, 1), *layers, End8(), nn.Conv2d(8, 5, 1)).eval()
    assert "; 81 (End8): ONNX differs by 5.0e-01 there" in refused(net)


class End8(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return other_when_exported(x)


def test_the_first_module_that_gives_nan_is_named() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(nn.Identity(), Log()), nn.Conv2d(8, 5, 1)).eval()
    image = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        assert first_nan(net, lambda: net(image)) == "1.1 (Log)"
        assert first_nan(net[0], lambda: net[0](image)) == ""


class Log(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return torch.log(x)
