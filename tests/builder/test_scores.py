"""Scores in fewer bits: what leaves the engine, and that the masks stay what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg import Session
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.source import SourceOptions, open_source
from edgeseg.data import CalibrationSet
from edgeseg.errors import OptionsError
from edgeseg.graph.preparing import PrepareOptions
from edgeseg.metrics import agreement
from edgeseg.spec import EngineSpec, PrecisionKind

#: half of a float16's last bit, of the largest score, once for each of two classes that are compared
HALF_MARGIN = 2.0**-11
#: int8 moves a score by half a scale, 1/254 of the largest; the small net's two best classes are closer than twice that
#: on a few pixels in a thousand
INT8_AGREEMENT = 0.99


def built(chain: Any, folder: Path, scores: Any, *, precision: PrecisionKind = "fp32") -> EngineSpec:
    needs_images = precision == "int8" or scores == "int8"
    calibration = CalibrationOptions(source=chain.images, file=folder / "ranges.json") if needs_images else None
    options = BuildOptions(backend="openvino", precision=precision, calibration=calibration, scores=scores)
    return build_engine(chain.onnx, folder / "net.engine", options)


def seen(engine: Path, chain: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mask and scores of every frame."""
    with Session(engine, depth=1) as session:
        frames = CalibrationSet(chain.images)
        return [(session.segment(frame), session.engine.host_output(0).copy()) for frame in frames]


def test_float16_scores_give_the_same_mask_wherever_two_classes_are_further_apart_than_rounding(
    chain: Any, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    spec = built(chain, tmp_path, "float16")
    assert (spec.model.head.scores_dtype, spec.model.head.scale, spec.io[1].dtype) == ("float16", 1.0, "float16")
    wide = seen(chain.fp32, chain)
    for (mask, scores), (narrow_mask, narrow_scores) in zip(wide, seen(tmp_path / "net.engine", chain), strict=True):
        assert (scores.dtype, narrow_scores.dtype) == (np.float32, np.float16)
        np.testing.assert_array_equal(narrow_scores, scores.astype(np.float16))
        large = functional.interpolate(torch.from_numpy(scores), mask.shape, mode="bilinear")
        best = large[0].sort(0).values.numpy()
        is_clear = best[-1] - best[-2] > 2 * HALF_MARGIN * np.abs(scores).max()
        assert is_clear.mean() > 0.99
        np.testing.assert_array_equal(narrow_mask[is_clear], mask[is_clear])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_int8_scores_are_scaled_by_the_largest_of_the_calibration_images(
    chain: Any, tmp_path: Path, precision: PrecisionKind
) -> None:
    spec = built(chain, tmp_path, "int8", precision=precision)
    head = spec.model.head
    wide, narrow = seen(chain.fp32, chain), seen(tmp_path / "net.engine", chain)
    peak = max(float(np.abs(scores).max()) for _, scores in wide)
    assert head.scale == pytest.approx(peak / 127, rel=1e-5)  # another runtime sums in another order
    assert (head.scores_dtype, spec.io[1].dtype, spec.precision.kind) == ("int8", "int8", precision)
    assert {scores.dtype for _, scores in narrow} == {np.dtype(np.int8)}
    if precision == "fp32":
        for (_, scores), (_, codes) in zip(wide, narrow, strict=True):
            assert np.abs(codes * head.scale - scores).max() <= head.scale * 0.501
        shares = [agreement(one, other) for (one, _), (other, _) in zip(wide, narrow, strict=True)]
        assert min(shares) >= INT8_AGREEMENT


def test_int8_scores_need_images(chain: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"int8 scores need images.*: give --calib-data FOLDER, or take float16"):
        build_engine(chain.onnx, tmp_path / "net.engine", BuildOptions(backend="openvino", scores="int8"))
    assert not list(tmp_path.iterdir())


def test_images_that_neither_layers_nor_scores_need_are_refused(chain: Any, tmp_path: Path) -> None:
    options = BuildOptions(
        backend="openvino", scores="float16", calibration=CalibrationOptions(source=chain.images), precision="fp32"
    )
    with pytest.raises(OptionsError, match="calibration images do nothing for fp32"):
        build_engine(chain.onnx, tmp_path / "net.engine", options)


def test_finished_ids_have_no_scores_to_narrow(ids_onnx: Path, tmp_path: Path) -> None:
    source = SourceOptions(prepare=PrepareOptions(keep_tail=True))
    assert open_source(ids_onnx, source).spec.head.decision == "ids"
    options = BuildOptions(backend="openvino", scores="float16", source=source)
    with pytest.raises(OptionsError, match="finished class ids, not scores that could be float16"):
        build_engine(ids_onnx, tmp_path / "net.engine", options)


@pytest.fixture
def ids_onnx(tmp_path: Path) -> Path:
    """A convolution and its ArgMax, without a sidecar."""
    onnx = pytest.importorskip("onnx")
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 19]> g (float[1, 3, 8, 16] image) => (int64[1, 8, 16] ids) '
        "{ scores = Conv(image, kernel) ids = ArgMax<axis=1, keepdims=0>(scores) }"
    )
    kernel = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "kernel"))
    path = tmp_path / "model" / "ids.onnx"
    path.parent.mkdir()
    onnx.save(proto, path)
    return path


@pytest.mark.parametrize("scores", ["float16", "int8"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_rtx_builds_an_engine_whose_scores_are_narrow(
    chain: Any, tmp_path: Path, scores: Any, precision: PrecisionKind
) -> None:
    pytest.importorskip("tensorrt_rtx")
    needs_images = precision == "int8" or scores == "int8"
    calibration = CalibrationOptions(source=chain.images, file=tmp_path / "ranges.json") if needs_images else None
    options = BuildOptions(backend="tensorrt-rtx", precision=precision, calibration=calibration, scores=scores)
    spec = build_engine(chain.onnx, tmp_path / "net.engine", options)
    assert (spec.model.head.scores_dtype, spec.io[1].dtype) == (scores, scores)
