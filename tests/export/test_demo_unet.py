"""Own the rules that the demo net and its shipped weights keep."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from edgeseg.export.nets.demo_unet import WEIGHTS_PATH, demo_unet  # noqa: E402  (needs torch)

MAX_PARAMETERS = 1_000_000
MAX_WEIGHTS_BYTES = 4_000_000


def test_the_net_has_fewer_than_a_million_parameters() -> None:
    assert sum(p.numel() for p in demo_unet().parameters()) < MAX_PARAMETERS


@pytest.mark.parametrize(("num_classes", "width"), [(9, 32), (1, 16), (19, 48)])
def test_logits_have_half_the_input_s_size(num_classes: int, width: int) -> None:
    net = demo_unet(num_classes, width).eval()
    with torch.inference_mode():
        logits = net(torch.zeros(1, 3, 256, 512))
    assert isinstance(logits, torch.Tensor)
    assert logits.dtype == torch.float32
    assert tuple(logits.shape) == (1, num_classes, 128, 256)


def test_hidden_channels_are_multiples_of_16_and_no_convolution_is_grouped() -> None:
    convolutions = [m for m in demo_unet().modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.groups == 1 for m in convolutions)
    assert all(m.out_channels % 16 == 0 for m in convolutions[:-1])


@pytest.mark.parametrize("num_classes", [0, -3])
def test_a_net_without_classes_is_refused(num_classes: int) -> None:
    with pytest.raises(ValueError, match="num_classes"):
        demo_unet(num_classes)


@pytest.mark.parametrize("width", [0, 8, 24, -16])
def test_a_width_off_the_multiples_of_16_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        demo_unet(9, width)


def test_the_shipped_weights_load_strictly_and_are_finite() -> None:
    weights = safetensors_torch.load_file(str(WEIGHTS_PATH))
    demo_unet().load_state_dict(weights, strict=True)
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert all(v.dtype == torch.float32 for v in weights.values() if v.is_floating_point())
    assert WEIGHTS_PATH.stat().st_size < MAX_WEIGHTS_BYTES


def test_importing_edgeseg_does_not_load_torch() -> None:
    code = "import sys, edgeseg; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
