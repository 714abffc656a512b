"""Small graphs through the real ONNX Runtime, against ONNX's own reference evaluator."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeseg.builder import calibrating
from edgeseg.builder.calibrating import CalibrationMethod, Ranges, calibrate
from edgeseg.builder.histograms import Histogram
from edgeseg.errors import DataError, ModelError
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.spec import InputSpec

pytest.importorskip("onnxruntime", exc_type=ImportError)

Frame = NDArray[np.uint8]

IMAGE = InputSpec(name="image", size_hw=(16, 24), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
BYTES = InputSpec(name="image", size_hw=(16, 24), mean=(0, 0, 0), std=(1 / 255,) * 3, dtype="uint8")
METHODS: tuple[CalibrationMethod, ...] = ("max", "entropy", "percentile")
#: float32 sums in another order
ROUNDING = 1e-5
RNG = np.random.default_rng(0)
WEIGHTS = {
    "kernel": RNG.normal(size=(8, 3, 3, 3)).astype(np.float32),
    "head": RNG.normal(size=(5, 8, 1, 1)).astype(np.float32),
}
STATM = Path("/proc/self/statm")
INNER = ("image", "features", "active", "logits")


def node(op: str, inputs: str, outputs: str, place: str = "", **attributes: Any) -> Any:
    """A node named after its output; ``place`` as torch's exporter notes a module ``name:Class``."""
    made = helper.make_node(op, inputs.split(), outputs.split(), name=f"make_{outputs.split()[0]}", **attributes)
    if place:
        scope, kind = place.split(":")
        notes = {"name_scopes": ["", scope, "op"], "class_hierarchy": ["net.Net", f"nn.{kind}", "op"]}
        for key, value in notes.items():
            made.metadata_props.add(key=f"pkg.torch.onnx.{key}", value=repr(value))
    return made


CONVOLUTIONS = [
    node("Conv", "image kernel", "features", pads=[1, 1, 1, 1]),
    node("Relu", "features", "active"),
    node("Conv", "active head", "logits"),
]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """An ONNX file of nodes, whose output is that of the last."""

    def written(nodes: list[Any], weights: dict[str, Any] | None = None, kind: int = TensorProto.FLOAT) -> Path:
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("image", kind, (1, 3, 16, 24))],
            [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
            [numpy_helper.from_array(np.asarray(one), name) for name, one in (WEIGHTS | (weights or {})).items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 19), helper.make_opsetid("somebody", 1)], ir_version=10
        )
        path = tmp_path / "net.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        return path

    return written


def frames(count: int, *, brightest: int = 256) -> list[Frame]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, brightest, (20, 30, 3), np.uint8) for _ in range(count)]


def expected_values(path: Path, images: list[Frame], names: tuple[str, ...], image: InputSpec = IMAGE) -> list[Any]:
    """For every image the tensors of these names, by ONNX's reference evaluator."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend([helper.make_empty_tensor_value_info(name) for name in names if name != "image"])
    evaluator, preprocessor = ReferenceEvaluator(model), Preprocessor(image)
    found = []
    for frame in images:
        tensor = preprocessor.tensor(frame)
        values = dict(zip(evaluator.output_names, evaluator.run(None, {"image": tensor}), strict=True))
        found.append(values | {"image": tensor})
    return found


def test_peaks_and_max_thresholds_are_the_largest_magnitudes_over_all_images(write: Callable[..., Path]) -> None:
    path, images = write(CONVOLUTIONS), frames(3)
    ranges = calibrate(path, IMAGE, images, ("active", "image"), method="max")
    values = expected_values(path, images, INNER)
    peaks = {name: max(float(np.abs(one[name]).max()) for one in values) for name in INNER}
    assert ranges.peaks == pytest.approx(peaks, rel=ROUNDING)
    assert ranges.thresholds == {name: ranges.peaks[name] for name in ("active", "image")}
    assert (ranges.images, ranges.constant) == (3, ())


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_thresholds_are_those_of_all_values_counted_at_once(
    method: CalibrationMethod, write: Callable[..., Path]
) -> None:
    path, images = write(CONVOLUTIONS), frames(4)
    ranges = calibrate(path, IMAGE, images, INNER, method=method, percentile=99.0)
    for name in INNER:
        seen = Histogram()
        for values in expected_values(path, images, INNER):
            seen.add(values[name].astype(np.float32))
        wanted = seen.entropy_threshold() if method == "entropy" else seen.percentile_threshold(99.0)
        assert ranges.thresholds[name] == pytest.approx(wanted, rel=ROUNDING, abs=seen.width)
    assert ranges.thresholds["features"] < ranges.peaks["features"]


@pytest.mark.parametrize("method", METHODS)
def test_neither_the_order_of_images_nor_the_number_of_runs_changes_the_result(
    method: CalibrationMethod, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images = write(CONVOLUTIONS), frames(5)
    once = calibrate(path, IMAGE, images, INNER, method=method)
    monkeypatch.setattr(calibrating, "HELD_BYTES", 4 * 8 * 16 * 24 + 1)  # of the largest value: three runs
    assert calibrate(path, IMAGE, images[::-1], INNER, method=method) == once


@pytest.mark.parametrize("method", METHODS)
def test_weights_may_lie_beside_the_graph(
    method: CalibrationMethod, write: Callable[..., Path], tmp_path: Path
) -> None:
    path, images = write(CONVOLUTIONS), frames(2)
    inside = calibrate(path, IMAGE, images, INNER, method=method)
    beside = tmp_path / "elsewhere" / "net.onnx"
    beside.parent.mkdir()
    onnx.save(onnx.load(path), beside, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert beside.stat().st_size < path.stat().st_size
    assert calibrate(beside, IMAGE, images, INNER, method=method) == inside


def test_an_input_of_bytes_is_no_float_tensor_but_feeds_one(write: Callable[..., Path]) -> None:
    nodes = [node("Cast", "image", "pixels", to=TensorProto.FLOAT), node("Conv", "pixels kernel", "logits")]
    path, images = write(nodes, kind=TensorProto.UINT8), frames(2)
    ranges = calibrate(path, BYTES, images, ("pixels",), method="max")
    brightest = max(int(one["image"].max()) for one in expected_values(path, images, ("pixels",), BYTES))
    assert ranges.thresholds == {"pixels": brightest}
    assert set(ranges.peaks) == {"pixels", "logits"}


# --- what no range can be made of


#: of white: +2; a single pixel of black makes -2, whose logarithm is NaN, in the middle of the tensor
def white_but_for_one_pixel(is_white: bool) -> Frame:
    frame = np.full((16, 24, 3), 255, np.uint8)
    frame[7, 11] = 255 if is_white else 0
    return frame


LOGARITHM = [
    node("Conv", "image head3", "first", place="stem:Conv2d"),
    node("Log", "first", "second", place="stem.norm:Norm"),
    node("Relu", "second", "third"),
    node("Conv", "third head3", "logits"),
]
HEAD3 = {"head3": np.eye(3, dtype=np.float32)[:, :, None, None]}


@pytest.mark.parametrize("method", METHODS)
def test_one_nan_names_the_node_that_made_it_its_module_and_the_image(
    method: CalibrationMethod, write: Callable[..., Path]
) -> None:
    images = [white_but_for_one_pixel(is_white) for is_white in (True, True, False, True)]
    with pytest.raises(ModelError, match=r"^Log 'make_second' in stem\.norm \(Norm\) gives NaN on image 3: "):
        calibrate(write(LOGARITHM, HEAD3), IMAGE, images, ("first", "third"), method=method)


def test_an_image_is_named_as_the_caller_names_it(write: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"gives NaN on b\.jpg"):
        calibrate(
            write(LOGARITHM, HEAD3),
            IMAGE,
            [white_but_for_one_pixel(True), white_but_for_one_pixel(False)],
            ("first",),
            method="max",
            name_of=lambda index: ("a.jpg", "b.jpg")[index],
        )


def test_infinity_names_the_node_that_made_it(write: Callable[..., Path]) -> None:
    nodes = [node("Mul", "image large", "scaled"), node("Exp", "scaled", "second"), node("Neg", "second", "logits")]
    with pytest.raises(ModelError, match=r"^Exp 'make_second' gives infinity on image 1"):
        calibrate(write(nodes, {"large": np.float32(1000)}), IMAGE, frames(1), ("scaled",), method="max")


def test_finite_numbers_without_a_finite_sum_are_told_apart_from_nan(write: Callable[..., Path]) -> None:
    nodes = [node("Mul", "image large", "scaled"), node("Relu", "scaled", "logits")]
    path = write(nodes, {"large": np.float32(1e38)})
    with pytest.raises(ModelError, match=r"^Mul 'make_scaled' gives numbers up to 2\.0e\+38, whose sum is infinite"):
        calibrate(path, IMAGE, [white_but_for_one_pixel(True)], (), method="max")


def test_a_weight_that_is_not_finite_is_named(write: Callable[..., Path]) -> None:
    broken = WEIGHTS["kernel"].copy()
    broken[3, 1, 1, 1] = np.nan
    with pytest.raises(ModelError, match=r"'make_features' gives NaN on image 1 \(its constant 'kernel' holds NaN"):
        calibrate(write(CONVOLUTIONS, {"kernel": broken}), IMAGE, frames(1), ("active",), method="max")


ATTENTION = [
    node("Greater", "image zero", "seen"),
    node("Where", "seen image minus_infinity", "masked"),
    node("Identity", "masked", "passed"),
    node("Softmax", "passed", "weights", axis=3),
    node("Conv", "weights kernel", "logits"),
]
MASKS = {"zero": np.float32(0), "minus_infinity": np.float32(-np.inf)}


def test_infinity_by_which_the_graph_masks_is_no_error(write: Callable[..., Path]) -> None:
    ranges = calibrate(write(ATTENTION, MASKS), IMAGE, frames(2), ("weights",), method="entropy")
    largest = float(np.finfo(np.float32).max)
    assert ranges.peaks["masked"] == ranges.peaks["passed"] == largest
    assert 0 < ranges.thresholds["weights"] <= 1


def test_a_masked_tensor_cannot_be_quantised(write: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="Identity 'make_passed' gives infinity"):
        calibrate(write(ATTENTION, MASKS), IMAGE, frames(2), ("passed",), method="max")


def test_a_mask_that_becomes_nan_names_where(write: Callable[..., Path]) -> None:
    nodes = [*ATTENTION[:2], node("Mul", "masked zero", "logits")]
    with pytest.raises(ModelError, match=r"^Mul 'make_logits' gives NaN"):
        calibrate(write(nodes, MASKS), IMAGE, frames(2), (), method="max")


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_one_value_gets_a_range_and_is_told(method: CalibrationMethod, write: Callable[..., Path]) -> None:
    nodes = [
        node("Mul", "image zero", "nothing"),
        node("Add", "nothing minus_three", "threes"),
        node("Conv", "threes kernel", "features"),
        node("Add", "image threes", "logits"),
    ]
    path = write(nodes, {"zero": np.float32(0), "minus_three": np.float32(-3)})
    ranges = calibrate(path, IMAGE, frames(2), ("threes", "image", "nothing"), method=method)
    assert ranges.constant == ("threes", "nothing")
    assert (ranges.thresholds["threes"], ranges.thresholds["nothing"]) == (3.0, 1.0)
    assert ranges.peaks["nothing"] == 0


def test_a_value_that_changes_from_image_to_image_is_no_constant(write: Callable[..., Path]) -> None:
    images = [np.full((16, 24, 3), grey, np.uint8) for grey in (255, 0)]
    ranges = calibrate(write(CONVOLUTIONS), IMAGE, images, ("image",), method="max")
    assert (ranges.constant, ranges.thresholds) == ((), {"image": 2.0})


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_without_any_value_counts_as_zero(method: CalibrationMethod, write: Callable[..., Path]) -> None:
    nodes = [
        node("Greater", "image ten", "large"),
        node("Reshape", "large flat", "chosen"),
        node("Compress", "image chosen", "found"),
        node("Relu", "found", "logits"),
    ]
    path = write(nodes, {"ten": np.float32(10), "flat": np.array([-1], np.int64)})
    ranges = calibrate(path, IMAGE, frames(2), ("found",), method=method)
    assert (ranges.constant, ranges.thresholds["found"], ranges.peaks["found"]) == (("found",), 1.0, 0.0)


def test_a_percentile_that_only_zeros_stay_under_falls_back_on_the_peak(write: Callable[..., Path]) -> None:
    nodes = [node("Sub", "image limit", "below"), node("Relu", "below", "rare"), node("Conv", "rare kernel", "logits")]
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[3, 3] = 255
    path = write(nodes, {"limit": np.float32(0)})
    ranges = calibrate(path, IMAGE, [frame], ("rare",), method="percentile", percentile=99)
    assert ranges.thresholds["rare"] == ranges.peaks["rare"] == 2.0


@pytest.mark.parametrize("method", METHODS)
def test_without_a_frame_there_is_no_range(method: CalibrationMethod, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="no image"):
        calibrate(write(CONVOLUTIONS), IMAGE, [], ("active",), method=method)


@pytest.mark.parametrize("name", ["nowhere", "kernel"])
def test_a_tensor_that_the_graph_does_not_compute_is_refused(name: str, write: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=f"no float32 value '{name}'"):
        calibrate(write(CONVOLUTIONS), IMAGE, frames(1), ("active", name), method="max")


@pytest.mark.parametrize("percentile", [0, 101])
def test_another_percentile_is_refused_before_anything_runs(percentile: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="percentile"):
        calibrate(tmp_path / "none.onnx", IMAGE, frames(1), (), method="percentile", percentile=percentile)


def test_an_operator_that_onnx_runtime_lacks_is_told(write: Callable[..., Path]) -> None:
    path = write([CONVOLUTIONS[0], helper.make_node("Magic", ["features"], ["magic"], domain="somebody")])
    model = onnx.load(path)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("magic", TensorProto.FLOAT, (1, 8, 16, 24)))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load the graph \(.*Magic"):
        calibrate(path, IMAGE, frames(1), ("features",), method="max")


def test_a_node_that_fails_in_the_run_is_told(write: Callable[..., Path]) -> None:
    nodes = [node("Cast", "image", "places", to=TensorProto.INT64), node("Gather", "image places", "logits")]
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot run the graph \(.*make_logits"):
        calibrate(write(nodes), IMAGE, [white_but_for_one_pixel(True)], (), method="max")


def test_a_frame_is_asked_for_when_the_one_before_is_done(write: Callable[..., Path]) -> None:
    order: list[str] = []

    def read() -> Iterator[Frame]:
        for index, frame in enumerate(frames(3), start=1):
            order.append(f"read {index}")
            yield frame

    calibrate(write(CONVOLUTIONS), IMAGE, read(), INNER, method="entropy", on_image=lambda n: order.append(f"done {n}"))
    assert order == ["read 1", "done 1", "read 2", "done 2", "read 3", "done 3"]


@pytest.mark.skipif(not STATM.exists(), reason="no /proc to read resident memory from")
@pytest.mark.parametrize("method", METHODS)
def test_memory_does_not_grow_with_the_number_of_images(method: CalibrationMethod, write: Callable[..., Path]) -> None:
    nodes = [node("Conv", "image wide", "features", pads=[1, 1, 1, 1]), node("Relu", "features", "logits")]
    path = write(nodes, {"wide": np.ones((1500, 3, 3, 3), np.float32)})
    sizes = list[int]()

    def measure(count: int) -> None:
        if count in (10, 60):
            sizes.append(int(STATM.read_text().split()[1]) * resource.getpagesize())

    ranges = calibrate(path, IMAGE, frames(60), ("features", "logits"), method=method, on_image=measure)
    assert isinstance(ranges, Ranges)
    kept_bytes = 50 * 2 * 4 * 1500 * 16 * 24  # what 50 images would leave, if their tensors were kept
    assert sizes[1] - sizes[0] < kept_bytes / 10
