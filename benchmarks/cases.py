"""Own what the imaging benchmarks compare: inputs, our call, the peers' calls, and how their results must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging.moved_bytes import mask_bytes, overlay_bytes, preprocess_bytes, read_bytes
from edgeseg.imaging.overlay import Overlay, palette_bgr
from edgeseg.imaging.palettes import labels_for
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.packages import require
from edgeseg.spec import HeadSpec, InputSpec

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NET_HW, CAMERA_HW, LOGITS_HW, CLASSES = (512, 1024), (1080, 1920), (64, 128), 19

Run = Callable[[], Any]


@dataclass
class Case:
    """One thing done in several ways. ``moved_bytes`` is what must be read and written at the least."""

    ours: Run
    peers: dict[str, Run]
    agree: Callable[[Any, Any], bool]
    moved_bytes: int
    goals: dict[str, float] = field(default_factory=dict)


def photograph(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A photograph at a camera's size, BGR."""
    import skimage.data

    picture = np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])
    return np.asarray(cv2.resize(picture, size_hw[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def spec() -> InputSpec:
    """The benchmarks' input: 512x1024, RGB, ImageNet's mean and deviation."""
    return InputSpec(name="image", size_hw=NET_HW, mean=MEAN, std=STD)


def one_grey_level(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    """Equal but for the peer's rounding to grey levels."""
    return float(np.abs(ours - theirs).max()) <= 1.01 / 255 / min(STD)


def bgr_case(threads: int) -> Case:
    """1080p BGR to a normalised float tensor."""
    frame = photograph(CAMERA_HW)
    tensor = np.empty(spec().shape, np.float32)
    maker = Preprocessor(spec(), threads=threads)

    def ours() -> NDArray[np.float32]:
        maker.into(tensor, frame)
        return tensor

    return Case(
        ours,
        {"cv2.dnn": lambda: blob(frame), "torch": torch_pre(frame), "OpenVINO": openvino_pre(frame, threads)},
        one_grey_level,
        preprocess_bytes(spec(), source_wh=CAMERA_HW[::-1]),
        {"cv2.dnn": 4.0},
    )


def blob(frame_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The usual way: blobFromImage, then the division by the deviation that it lacks."""
    mean = tuple(255 * value for value in MEAN)
    made = cv2.dnn.blobFromImage(frame_bgr, 1 / 255, NET_HW[::-1], mean, swapRB=True)
    made /= np.float32(STD)[:, None, None]
    return np.asarray(made, np.float32)


def torch_pre(frame_bgr: NDArray[np.uint8]) -> Run:
    """Torch's interpolate on the CPU."""
    torch = require("torch")
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))

    def run() -> Any:
        image = torch.from_numpy(frame_bgr).permute(2, 0, 1)[None].flip(1).float() / 255
        resized = torch.nn.functional.interpolate(image, size=NET_HW, mode="bilinear", align_corners=False)
        return ((resized - mean) / std).numpy()

    return run


def openvino_pre(frame_bgr: NDArray[np.uint8], threads: int) -> Run:
    """OpenVINO's PrePostProcessor in front of a net that does nothing."""
    ov = require("openvino")
    image = ov.opset13.parameter([1, 3, *NET_HW], np.float32, name="image")
    model = ov.Model([ov.opset13.result(ov.opset13.convert(image, "f32"))], [image])
    steps = ov.preprocess.PrePostProcessor(model)
    tensor = steps.input().tensor()
    tensor.set_shape([1, *frame_bgr.shape]).set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    tensor.set_color_format(ov.preprocess.ColorFormat.BGR)
    todo = steps.input().preprocess().convert_element_type(ov.Type.f32)
    todo.convert_color(ov.preprocess.ColorFormat.RGB).resize(ov.preprocess.ResizeAlgorithm.RESIZE_LINEAR)
    todo.mean([255 * value for value in MEAN]).scale([255 * value for value in STD])
    steps.input().model().set_layout(ov.Layout("NCHW"))
    return request_of(steps.build(), frame_bgr[None], threads, "f32")


def request_of(model: Any, value: NDArray[Any], threads: int, precision: str) -> Run:
    """One OpenVINO request bound to its input; a call returns a view of its output."""
    ov = require("openvino")
    properties = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    request = ov.Core().compile_model(model, "CPU", properties).create_infer_request()
    request.set_input_tensor(ov.Tensor(value, shared_memory=True))

    def run() -> Any:
        request.infer()
        return request.get_output_tensor().data

    return run


def nv12_case(threads: int) -> Case:
    """1080p NV12 to a normalised float tensor."""
    height, width = CAMERA_HW
    i420 = cv2.cvtColor(photograph(CAMERA_HW), cv2.COLOR_BGR2YUV_I420)
    luma, chroma = i420[:height], i420[height:].reshape(2, height // 2, width // 2)
    nv12 = np.vstack([luma, chroma.transpose(1, 2, 0).reshape(height // 2, width)])
    tensor = np.empty(spec().shape, np.float32)
    maker = Preprocessor(spec(), threads=threads)

    def ours() -> NDArray[np.float32]:
        maker.into(tensor, nv12, pixel_format="NV12")
        return tensor

    def three_levels(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
        """OpenCV rounds its conversion and its resize, each to a level, and the first in 8-bit fixed point."""
        return float(np.abs(one - other).max()) <= 3.0 / 255 / min(STD)

    moved = read_bytes([width, width], maker.tables((width, height), pixel_format="NV12")) + tensor.nbytes
    peers = {"cvtColor + cv2.dnn": lambda: blob(np.asarray(cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12), np.uint8))}
    return Case(ours, peers, three_levels, moved, {"cvtColor + cv2.dnn": 5.0})


def smooth_logits() -> NDArray[np.float32]:
    """Logits with wide agreeing regions and soft borders, as a trained net gives them."""
    coarse = np.random.default_rng(0).normal(0, 6, (CLASSES, 5, 9)).astype(np.float32)
    planes = [cv2.resize(plane, LOGITS_HW[::-1], interpolation=cv2.INTER_CUBIC) for plane in coarse]
    return np.stack(planes)[None].astype(np.float32)


def noisy_logits() -> NDArray[np.float32]:
    """Independent noise: no cell agrees."""
    return np.random.default_rng(1).normal(0, 1, (1, CLASSES, *LOGITS_HW)).astype(np.float32)


def mask_case(logits: NDArray[np.float32], threads: int, goals: dict[str, float]) -> Case:
    """19x64x128 logits to a 1080x1920 mask."""
    head = HeadSpec(output="logits", channels=CLASSES, size_hw=LOGITS_HW, decision="argmax")
    maker, mask = MaskMaker(head, threads=threads), np.empty(CAMERA_HW, np.uint8)

    def almost_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
        """The same but for borders that rounding moves; numpy works at the net's size and cannot be compared."""
        return one.shape != other.squeeze().shape or float(np.mean(one == other.squeeze())) > 0.99

    def ours() -> NDArray[np.uint8]:
        return maker.mask(logits, size_hw=CAMERA_HW, out=mask)

    peers = {
        "torch": torch_tail(logits),
        "OpenVINO FP32": openvino_tail(logits, threads, "f32"),
        "OpenVINO BF16": openvino_tail(logits, threads, "bf16"),
        "numpy argmax at 512x1024": numpy_argmax(),
    }
    return Case(ours, peers, almost_equal, mask_bytes(head, size_hw=CAMERA_HW, itemsize=logits.itemsize), goals)


def torch_tail(logits: NDArray[np.float32]) -> Run:
    """Interpolate and argmax."""
    torch = require("torch")
    tensor = torch.from_numpy(logits)

    def run() -> Any:
        full = torch.nn.functional.interpolate(tensor, size=CAMERA_HW, mode="bilinear", align_corners=False)
        return full.argmax(1).numpy()

    return run


def openvino_tail(logits: NDArray[np.float32], threads: int, precision: str) -> Run:
    """Resize and ArgMax as an exported net carries them, compiled by OpenVINO."""
    onnx = require("onnx")
    helper, float32, int64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    sizes = helper.make_tensor("sizes", int64, [4], [1, CLASSES, *CAMERA_HW])
    nodes = [
        helper.make_node(
            "Resize", ["logits", "", "", "sizes"], ["full"], mode="linear", coordinate_transformation_mode="half_pixel"
        ),
        helper.make_node("ArgMax", ["full"], ["mask"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("logits", float32, logits.shape)]
    outputs = [helper.make_tensor_value_info("mask", int64, [1, *CAMERA_HW])]
    graph = helper.make_graph(nodes, "tail", inputs, outputs, [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return request_of(require("openvino").Core().read_model(model.SerializeToString()), logits, threads, precision)


def numpy_argmax() -> Run:
    """What a loop does whose engine already gives full-size logits."""
    full = np.random.default_rng(2).normal(size=(1, CLASSES, *NET_HW)).astype(np.float32)
    return lambda: full.argmax(1)


def overlay_case(threads: int) -> Case:
    """Class colours blended into a 1080p frame."""
    frame, labels = photograph(CAMERA_HW), labels_for(CLASSES)
    head = HeadSpec(output="logits", channels=CLASSES, size_hw=LOGITS_HW, decision="argmax")
    mask = MaskMaker(head).mask(smooth_logits(), size_hw=CAMERA_HW)
    overlay, table = Overlay(labels, alpha=0.5, threads=threads), palette_bgr(labels).reshape(1, 256, 3)

    def usual() -> Any:
        colours = cv2.LUT(cv2.merge([mask, mask, mask]), table)
        return cv2.addWeighted(frame, 0.5, colours, 0.5, 0.0)

    def within_a_level(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
        return int(np.abs(one.astype(int) - other).max()) <= 1

    return Case(
        lambda: overlay.blend(frame, mask),
        {"cv2.LUT + addWeighted": usual},
        within_a_level,
        overlay_bytes(CAMERA_HW),
        {"cv2.LUT + addWeighted": 8.0},
    )


SMOOTH_GOALS = {"torch": 120.0, "OpenVINO FP32": 40.0, "OpenVINO BF16": 12.0, "numpy argmax at 512x1024": 20.0}

CASES: dict[str, Callable[[int], Case]] = {
    "1080p BGR -> 1x3x512x1024": bgr_case,
    "1080p NV12 -> 1x3x512x1024": nv12_case,
    "19x64x128 smooth -> 1080x1920 mask": lambda threads: mask_case(smooth_logits(), threads, SMOOTH_GOALS),
    "19x64x128 noise -> 1080x1920 mask": lambda threads: mask_case(noisy_logits(), threads, {"torch": 20.0}),
    "overlay at 1080p": overlay_case,
}
