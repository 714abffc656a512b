from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.sidecars import read_model_spec
from edgeseg.spec import ProfileSpec

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
nn, F = torch.nn, torch.nn.functional

ONE_SIZE = "export one size, without --min-size and --max-size"


class UNet(nn.Module):  # type: ignore[misc, name-defined]
    """Takes sides that are multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(channels, 4, 3, 2, 1) for channels in (3, 4, 4))
        self.head = nn.Conv2d(4, 5, 1)

    def forward(self, x: Any) -> Any:
        skips = []
        for one in self.down:
            x = one(x).relu()
            skips.append(x)
        for skip in reversed(skips[:-1]):
            x = F.interpolate(x, scale_factor=2.0) + skip
        return self.head(x)


class Padded(nn.Module):  # type: ignore[misc, name-defined]
    """Takes any size, by another way where it is no multiple of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.net = UNet()

    def forward(self, x: Any) -> Any:
        height, width = x.shape[-2:]
        if height % 8 or width % 8:
            x = F.pad(x, (0, -width % 8, 0, -height % 8))
        return self.net(x)


class Sized(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.coarse, self.fine = nn.Conv2d(3, 5, 3, 4, 1), nn.Conv2d(3, 5, 3, 2, 1)

    def forward(self, x: Any) -> Any:
        coarse, fine = self.coarse(x), self.fine(x)
        joint = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear") + fine
        return F.interpolate(joint, size=x.shape[-2:], mode="bilinear")


class Fixed(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, 2, 1)

    def forward(self, x: Any) -> Any:
        return F.interpolate(self.conv(x), size=(int(x.shape[2]), x.shape[3]))


class Positions(nn.Module):  # type: ignore[misc, name-defined]
    """Adds what was learnt for 16x32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.places = nn.Conv2d(3, 5, 1), nn.Parameter(torch.zeros(1, 5, 16, 32))

    def forward(self, x: Any) -> Any:
        return self.conv(x) + self.places


class Pooled(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(3)

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        return x + F.interpolate(self.pool(x), size=x.shape[-2:])


class Switch(nn.Module):  # type: ignore[misc, name-defined]
    """Doubles what is large."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)

    def forward(self, x: Any) -> Any:
        return self.conv(x) * (2 if x.shape[2] > 20 else 1)


class Enlarged(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(self.conv(x), size=x.shape[2:], mode="bilinear")


def profile(least: tuple[int, int], most: tuple[int, int], *, step: int = 1, batch: int = 1) -> ProfileSpec:
    return ProfileSpec(minimum=(1, *least), optimum=(1, 16, 32), maximum=(batch, *most), step_hw=(step, step))


def dims(value: Any) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("net", "limits", "taken", "given"),
    [
        (
            UNet,
            profile((8, 16), (32, 64), step=8, batch=3),
            ["batch", 3, "height", "width"],
            ["batch", 5, "4*(height//8)", "4*(width//8)"],
        ),
        (Sized, profile((9, 16), (32, 63)), [1, 3, "height", "width"], [1, 5, "height", "width"]),
        (Sized, profile((16, 16), (16, 64)), [1, 3, 16, "width"], [1, 5, 16, "width"]),
        (Positions, profile((16, 32), (16, 32), batch=4), ["batch", 3, 16, 32], ["batch", 5, 16, 32]),
    ],
)
def test_free_axes_are_named_in_the_graph_and_recorded(
    export: Any, tmp_path: Path, net: Any, limits: ProfileSpec, taken: list[int | str], given: list[int | str]
) -> None:
    spec = export(net().eval(), profile=limits).spec
    model = onnx.load(tmp_path / "net.onnx")
    assert dims(model.graph.input[0]) == taken
    assert dims(model.graph.output[0]) == given
    assert spec.input.profile == limits
    assert read_model_spec(tmp_path / "net.onnx", sha256=spec.onnx_sha256) == spec


def test_every_end_of_the_profile_is_compared_with_pytorch(export: Any) -> None:
    entries = export(UNet().eval(), profile=profile((8, 16), (32, 64), step=8, batch=3)).parity.entries
    assert [one.name for one in entries] == [
        "the photograph",
        "noise",
        "noise of 1x8x16",
        "noise of 1x16x24",
        "noise of 3x32x64",
    ]
    assert max(one.relative_error for one in entries) < 1e-5


def test_a_graph_of_free_sizes_computes_sizes_that_were_not_tried(export: Any, tmp_path: Path) -> None:
    import onnxruntime

    net = Sized().eval()
    export(net, profile=profile((9, 16), (40, 64), batch=4))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for shape in ((2, 3, 21, 37), (3, 3, 40, 17)):
        image = np.random.default_rng(0).standard_normal(shape, np.float32)
        (found,) = session.run(None, {"image": image})
        with torch.inference_mode():
            np.testing.assert_allclose(found, net(torch.from_numpy(image)).numpy(), atol=1e-5)


def test_ids_and_probabilities_have_a_head_at_free_sizes_too(export: Any) -> None:
    class Ids(Sized):
        def forward(self, x: Any) -> Any:
            return super().forward(x).argmax(1)

    spec = export(Ids().eval(), profile=profile((9, 16), (32, 64))).spec
    assert (spec.head.decision, spec.head.shape, len(spec.labels.classes)) == ("ids", (1, 1, 16, 32), 5)


@pytest.mark.parametrize(
    ("net", "limits", "told"),
    [
        (
            UNet,
            profile((16, 16), (32, 64)),
            "the net does not run on 17x17, which its profile allows: give --size-step 8",
        ),
        (
            UNet,
            profile((16, 16), (32, 64), step=4),
            "the net does not run on 20x20, which its profile allows: give --size-step 8",
        ),
        (
            Positions,
            profile((16, 32), (32, 64)),
            f"the net does not run on 17x33, which its profile allows: {ONE_SIZE}",
        ),
        (
            UNet,
            profile((12, 16), (32, 64), step=8),
            "the profile's 12x16 is off its own steps of 8x8: give --min-size, --input-size and --max-size in "
            "multiples of --size-step",
        ),
        (Padded, profile((16, 16), (32, 64)), "the net takes sizes in steps of 8: give --size-step 8"),
        (
            Fixed,
            profile((16, 16), (32, 64)),
            "forward() turns the height into a number, so that no other fits the graph: use image.shape without "
            f"int() there, or {ONE_SIZE}",
        ),
        (
            Pooled,
            profile((16, 16), (32, 64)),
            "aten.adaptive_avg_pool2d.default in pool (AdaptiveAvgPool2d) has no ONNX where height and width are "
            f"free: {ONE_SIZE}",
        ),
    ],
)
def test_a_profile_that_the_net_does_not_take_is_refused_with_what_works(
    refused: Any, net: Any, limits: ProfileSpec, told: str
) -> None:
    assert refused(net().eval(), profile=limits) == told


def test_batches_start_at_one(refused: Any) -> None:
    limits = ProfileSpec(minimum=(2, 16, 32), optimum=(2, 16, 32), maximum=(4, 16, 32))
    assert refused(UNet().eval(), profile=limits) == (
        "the profile's batches start at 2: let them start at 1: a camera gives one frame"
    )


def test_a_size_that_goes_another_way_than_the_largest_is_found(refused: Any) -> None:
    assert refused(Switch().eval(), profile=profile((16, 32), (32, 64))) == (
        "not every size of the profile takes the same way through forward() (21 <= height and height <= 32): raise "
        f"--min-size, give a larger --size-step, or {ONE_SIZE}"
    )
    assert refused(Padded().eval(), profile=profile((16, 16), (32, 64), step=4)).startswith(
        "the graph does not run on noise of 1x20x20 where PyTorch does (ONNX Runtime fails at node 'node_add"
    )


def test_script_whose_sizes_are_numbers_says_what_else_to_give(refused: Any) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(Enlarged().eval())
    told = refused(script, profile=profile((16, 16), (32, 64)))
    assert told == (
        "forward() turns the height and the width into a number, so that no other fits the graph: give the Python net "
        f"or torch.jit.trace's, or {ONE_SIZE}"
    )
