"""Real nets opened for profiles: what they compute at every size and batch is what the net prepared for it computes."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
import pytest

from edgeseg.errors import BuildError
from edgeseg.graph.casting import lowered
from edgeseg.graph.opening import opened
from edgeseg.graph.preparing import Prepared, PrepareOptions, prepare
from edgeseg.graph.reading import GraphFile, read_graph
from edgeseg.spec import FrameOptions, InputSpec, ProfileSpec

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
nn, F = torch.nn, torch.nn.functional

PROFILE = ProfileSpec(minimum=(1, 64, 96), optimum=(1, 96, 128), maximum=(2, 128, 160), step_hw=(32, 32))
#: the second is another camera's
PROFILES = (PROFILE, ProfileSpec(minimum=(1, 64, 96), optimum=(2, 64, 96), maximum=(4, 64, 96), step_hw=(32, 32)))
#: ends, middle, and one that the opening did not look at
SIZES = ((64, 96), (96, 128), (128, 160), (128, 96))
#: of the largest score: ONNX Runtime sums a batch of two in another order, and float32 has 24 bits
ROUNDING = 1e-5
#: float16 has 11 bits, and some of them are lost in every layer
HALF_ROUNDING = 0.05


class Transformer(nn.Module):  # type: ignore[misc, name-defined]
    """Patches to tokens, attention over all of them, tokens back to a picture that joins a finer one."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.patches = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 8, 8)
        self.norm, self.attention = nn.LayerNorm(16), nn.Linear(16, 3 * 16)
        self.head = nn.Conv2d(32, 5, 1)

    def forward(self, image: Any) -> Any:
        fine = self.fine(image).relu()
        coarse = self.patches(fine)
        batch, channels, height, width = coarse.shape
        tokens = self.norm(coarse.flatten(2).transpose(1, 2))
        parts = self.attention(tokens).reshape(batch, height * width, 3, 2, 8).permute(2, 0, 3, 1, 4)
        mixed = (parts[0] @ parts[1].transpose(-1, -2)).softmax(-1) @ parts[2]
        tokens = tokens + mixed.transpose(1, 2).reshape(batch, height * width, channels)
        coarse = tokens.transpose(1, 2).reshape(batch, channels, height, width)
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")
        return self.head(torch.cat([fine, coarse], 1))


class Positions(nn.Module):  # type: ignore[misc, name-defined]
    """Adds a grid that is computed for the size it was traced with."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, 2, 1)

    def forward(self, image: Any) -> Any:
        scores = self.conv(image)
        return scores + torch.arange(scores.shape[-1], dtype=scores.dtype)


class Folded(nn.Module):  # type: ignore[misc, name-defined]
    """Puts the images of a batch behind its tokens, as torch's own attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.attention = nn.Conv2d(3, 8, 8, 8), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, image: Any) -> Any:
        coarse = self.conv(image)
        tokens = coarse.flatten(2).transpose(1, 2)
        tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return tokens.transpose(1, 2).reshape(coarse.shape)


class Case(NamedTuple):
    graph: GraphFile
    image: InputSpec
    prepared: Prepared

    @functools.cache  # noqa: B019 - a module's fixture holds the cases anyway
    def at(self, size_hw: tuple[int, int]) -> Any:
        return prepare(self.graph, self.image, PrepareOptions(size_hw=size_hw)).model

    @functools.cache  # noqa: B019 - as above
    def opened(self, profiles: tuple[ProfileSpec, ...]) -> Any:
        ready = self.prepared
        return opened(ready.model, image=ready.image, head=ready.head, profiles=profiles, prepared_at=self.at)


def built_in(name: str, **arguments: Any) -> Any:
    from edgeseg.export.loading import load_net

    return load_net(name, {"width": 0.125, "num_classes": 5, **arguments}).net


NETS = {
    "unet-mini": lambda: built_in("unet-mini"),
    "fcn8s": lambda: built_in("fcn8s"),
    "deeplab-v3-plus": lambda: built_in("deeplab-v3-plus", backbone="mobilenet_v2"),
    "transformer": Transformer,
    "positions": Positions,
    "folded": Folded,
}
OPENED = ("unet-mini", "fcn8s", "deeplab-v3-plus", "transformer")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``cases(name)``: the net in a file that leaves its batch and size open, and prepared at the optimum."""
    folder, made = tmp_path_factory.mktemp("nets"), dict[str, Case]()
    image = FrameOptions().input_spec(name="image", size_hw=(96, 128))

    def call(name: str) -> Case:
        if name not in made:
            graph = read_graph(written(name, folder / f"{name}.onnx"))
            made[name] = Case(graph, image, prepare(graph, image, PrepareOptions()))
        return made[name]

    return call


def written(name: str, path: Path) -> Path:
    """By torch's older exporter, which is fast and leaves whole chains of shapes in the graph."""
    torch.manual_seed(0)
    axes = {"image": {0: "batch", 2: "height", 3: "width"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            NETS[name]().eval(),
            (torch.zeros(1, 3, 96, 128),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes=axes,
        )
    return path


def session(model: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options)


@pytest.mark.parametrize("name", OPENED)
def test_an_opened_net_computes_at_every_size_what_the_net_of_that_size_computes(cases: Any, name: str) -> None:
    case = cases(name)
    free = session(case.opened((PROFILE,)))
    for size in SIZES:
        images = np.random.default_rng(1).normal(size=(2, 3, *size)).astype(np.float32)
        (both,) = free.run(None, {"image": images})
        fixed = session(case.at(size))
        for index, found in enumerate(both):
            (expected,) = fixed.run(None, {"image": images[index : index + 1]})
            assert found.shape == expected.shape[1:]
            assert np.abs(found - expected[0]).max() <= ROUNDING * np.abs(expected).max()


def test_a_net_that_counts_out_its_size_in_numbers_is_refused_by_the_node(cases: Any) -> None:
    with pytest.raises(BuildError, match=r"Add '/Add' has .* for 96x128 and .*: build one engine a size"):
        cases("positions").opened((PROFILE,))


def test_a_net_that_folds_the_batch_into_its_tokens_takes_other_sizes_but_no_batch(cases: Any) -> None:
    with pytest.raises(BuildError, match=r"Gemm '/attention/.*' mixes the images of a batch.*: take batches of 1"):
        cases("folded").opened((PROFILE,))
    single = ProfileSpec(minimum=(1, 64, 96), optimum=(1, 96, 128), maximum=(1, 128, 160), step_hw=(32, 32))
    sides = cases("folded").opened((single,)).graph.inputs[0].shape
    assert [side if isinstance(side, int) else side.value for side in sides] == [1, 3, "height", "width"]


@pytest.mark.parametrize("name", ["deeplab-v3-plus", "transformer"])
def test_a_net_in_float16_is_opened_as_its_float32_is(cases: Any, name: str) -> None:
    case = cases(name)
    ready = case.prepared
    half = lowered(ready.model, "fp16")
    free = opened(half, image=ready.image, head=ready.head, profiles=(PROFILE,), prepared_at=case.at)
    images = np.random.default_rng(1).normal(size=(2, 3, 64, 96)).astype(np.float32)
    (exact,) = session(case.opened((PROFILE,))).run(None, {"image": images})
    (found,) = session(free).run(None, {"image": images})
    assert np.abs(found - exact).max() <= HALF_ROUNDING * np.abs(exact).max()


@pytest.mark.parametrize(
    ("name", "profiles"), [*((name, (PROFILE,)) for name in OPENED), ("unet-mini", PROFILES), ("transformer", PROFILES)]
)
def test_tensorrt_rtx_builds_an_opened_net(cases: Any, name: str, profiles: tuple[ProfileSpec, ...]) -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    model = cases(name).opened(profiles)
    logger = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(logger)
    network = builder.create_network(0)
    parser = rtx.OnnxParser(network, logger)
    assert parser.parse(ir.to_proto(model).SerializeToString())
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(rtx.ComputeCapability.SM89, 0)
    for one in profiles:
        profile = builder.create_optimization_profile()
        shapes = [(batch, 3, *size) for batch, *size in (one.minimum, one.optimum, one.maximum)]
        profile.set_shape("image", *shapes)
        assert config.add_optimization_profile(profile) >= 0
    assert builder.build_serialized_network(network, config) is not None
