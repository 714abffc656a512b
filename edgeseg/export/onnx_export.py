"""Own the export of one module to one ONNX file and its sidecar, checked before they are written. Rewrite no graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgeseg.errors import ModelError
from edgeseg.export.parity import Parity, check_parity
from edgeseg.files import sha256_of
from edgeseg.imaging.preprocess import Frame, Preprocessor
from edgeseg.packages import require
from edgeseg.spec import HeadSpec, InputSpec, LabelSpec, ModelSpec, write_with_sidecar

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ExportOptions", "ExportResult", "export_model"]

INPUT_NAME, OUTPUT_NAME = "image", "logits"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a module is exported: what frames become before they enter, and which output holds the logits.

    ``output`` is a key, an attribute or an index where the module returns several tensors.
    """

    size_hw: tuple[int, int]
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    interpolation: Literal["linear", "antialias"] = "linear"
    pad_value: float = 0.0
    output: str | None = None
    opset: int = 19


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was written, and how far it differs from PyTorch."""

    spec: ModelSpec
    parity: Parity
    onnx_bytes: int


def export_model(
    module: nn.Module,
    onnx_path: Path,
    options: ExportOptions,
    *,
    labels: Callable[[int], LabelSpec],
    sample_bgr: Frame,
) -> ExportResult:
    """Export, compare with PyTorch on a real frame, then write ``net.onnx`` and ``net.json``.

    Args:
        module: in evaluation mode; its input is float32 NCHW of batch 1.
        onnx_path: ends in .onnx.
        options: see ExportOptions.
        labels: gives the class names for a number of classes.
        sample_bgr: a photograph, uint8 (H, W, 3), any size.
    Raises:
        ModelError: the module does not take the input, has no such output, or cannot be exported.
        ParityError: ONNX and PyTorch differ; nothing is written.
        OutputError: the files cannot be written.
    """
    torch = require("torch")
    image = _input_of(options)
    tensor = torch.from_numpy(Preprocessor(image).tensor(sample_bgr))
    single = _single_output(module, options.output)
    logits = _run(single, tensor)
    head = _head_of(logits.shape)
    named = labels(max(head.channels, 2))
    data = _to_onnx(single, tensor, opset=options.opset)
    parity = check_parity(data, tensor.numpy(), np.asarray(logits), head)
    spec = ModelSpec(onnx_sha256=sha256_of(data), input=image, head=head, labels=named)
    write_with_sidecar(onnx_path, data, spec)
    return ExportResult(spec=spec, parity=parity, onnx_bytes=len(data))


def _input_of(options: ExportOptions) -> InputSpec:
    return InputSpec(
        name=INPUT_NAME,
        size_hw=options.size_hw,
        colour=options.colour,
        mean=options.mean,
        std=options.std,
        resize=options.resize,
        interpolation=options.interpolation,
        pad_value=options.pad_value,
    )


def _single_output(module: nn.Module, output: str | None) -> nn.Module:
    """The module with one tensor as its output."""
    torch = require("torch")

    class SingleOutput(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.net = module

        def forward(self, image: Tensor) -> Any:
            return _choose(self.net(image), output)

    wrapped: nn.Module = SingleOutput().eval()
    return wrapped


def _choose(result: Any, output: str | None) -> Any:
    """One tensor out of a tensor, a dict, a tuple or an object with named fields (ModelOutput is a dict)."""
    torch = require("torch")
    if torch.is_tensor(result):
        return result
    if isinstance(result, Mapping):
        named = {str(key): value for key, value in result.items()}
    elif hasattr(result, "_asdict"):
        named = result._asdict()
    elif isinstance(result, (tuple, list)):
        named = {str(index): value for index, value in enumerate(result)}
    else:
        named = dict(vars(result))
    tensors = {key: value for key, value in named.items() if torch.is_tensor(value)}
    if output is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if output not in tensors:
        asked = "several outputs" if output is None else f"no output '{output}'"
        raise ModelError(
            f"the net has {asked}", f"choose one with --output: {', '.join(tensors) or 'there is no tensor'}"
        )
    return tensors[output]


def _run(module: nn.Module, tensor: Tensor) -> Tensor:
    torch = require("torch")
    try:
        with torch.inference_mode():
            logits: Tensor = module(tensor)
    except (RuntimeError, ValueError, TypeError) as error:
        text = str(error).splitlines()[0]
        raise ModelError(
            f"the net does not run on float32 {tuple(tensor.shape)} ({text})", "check --input-size, --colour and --arg"
        ) from error
    return logits


def _head_of(shape: tuple[int, ...]) -> HeadSpec:
    if len(shape) != 4 or shape[0] != 1:
        raise ModelError(
            f"the output is {tuple(shape)}", "logits are (1, classes, height, width); choose with --output"
        )
    _, channels, height, width = shape
    try:
        return HeadSpec(
            output=OUTPUT_NAME,
            channels=channels,
            size_hw=(height, width),
            decision="threshold" if channels == 1 else "argmax",
        )
    except ValueError as error:
        raise ModelError(f"the output is {tuple(shape)} ({error})", "choose the logits with --output") from error


def _to_onnx(module: nn.Module, tensor: Tensor, *, opset: int) -> bytes:
    torch = require("torch")
    require("onnxscript")
    try:
        program = torch.onnx.export(
            module,
            (tensor,),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            opset_version=opset,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(
            f"torch.export cannot trace the net ({error.__cause__ or error})", "make forward() static"
        ) from error
    data: bytes = program.model_proto.SerializeToString()
    return data
