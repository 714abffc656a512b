"""Own what the deep-learning accelerator takes of a network. Build nothing."""

from __future__ import annotations

from pathlib import Path

from edgeseg.builder.backends.tensorrt.options import TensorRTOptions
from edgeseg.errors import BuildError
from edgeseg.graph.counting import count
from edgeseg.packages import require
from edgeseg.spec import DlaShare, PrecisionKind, ProfileSpec
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import Builder, IBuilderConfig, ILayer, INetworkDefinition

__all__ = ["refuse_dla", "share_words", "use_dla"]

SHOWN_LAYERS = 5
#: layers that hold or name numbers; DLA has no word in them
IDLE = ("CONSTANT", "SHAPE", "IDENTITY")


def refuse_dla(precision: PrecisionKind, profiles: tuple[ProfileSpec, ...]) -> None:
    """Raise BuildError for what no DLA does: it computes in float16 and int8, and in one shape."""
    if precision not in ("fp16", "int8"):
        raise BuildError(f"DLA computes in fp16 and int8, not in {precision}", "use --precision fp16 or int8")
    if any(one.minimum != one.maximum for one in profiles):
        raise BuildError("DLA takes one shape, the profile takes several", "build one engine a size with --input-size")


def use_dla(
    api: TrtApi,
    builder: Builder,
    network: INetworkDefinition,
    config: IBuilderConfig,
    options: TensorRTOptions,
    onnx_path: Path,
) -> DlaShare:
    """Make DLA the device of all layers that it can run, and say which these are.

    Raises:
        BuildError: there is no such core, or it cannot run all and the GPU may not.
    """
    core = options.dla_core
    if core is None or core >= builder.num_DLA_cores:
        raise BuildError(
            f"DLA core {core} is not there: this device has {builder.num_DLA_cores}",
            "leave --dla-core out" if builder.num_DLA_cores == 0 else "take --dla-core 0",
        )
    config.default_device_type = api.module.DeviceType.DLA
    config.DLA_core = core
    if options.is_gpu_fallback_allowed:
        config.set_flag(api.module.BuilderFlag.GPU_FALLBACK)
    share = _share(config, network, core, onnx_path)
    if share.on_gpu and not options.is_gpu_fallback_allowed:
        shown = ", ".join(share.on_gpu[:SHOWN_LAYERS])
        raise BuildError(
            f"DLA cannot run {len(share.on_gpu)} of {share.layers} layers ({shown})",
            "leave --no-gpu-fallback out, or change these layers",
        )
    return share


def share_words(share: DlaShare) -> str:
    """One line for the user."""
    text = f"DLA {share.core} takes {share.dla_layers} of {share.layers} layers"
    if share.macs and share.dla_macs is not None:
        text += f" and {share.dla_macs / share.macs:.0%} of the multiply-accumulates"
    if not share.on_gpu:
        return text
    shown = ", ".join(share.on_gpu[:SHOWN_LAYERS])
    return f"{text}; the GPU runs {shown}{', ...' if len(share.on_gpu) > SHOWN_LAYERS else ''}"


def _share(config: IBuilderConfig, network: INetworkDefinition, core: int, onnx_path: Path) -> DlaShare:
    layers: list[ILayer] = [network.get_layer(index) for index in range(network.num_layers)]
    working = [layer for layer in layers if layer.type.name not in IDLE]
    taken = {layer.name for layer in working if config.can_run_on_DLA(layer)}
    counts = count(require("onnx_ir").load(onnx_path))
    by_node = {node.name: node.macs or 0 for node in counts.nodes}
    return DlaShare(
        core=core,
        layers=len(working),
        dla_layers=len(taken),
        macs=counts.macs,
        dla_macs=None if counts.macs is None else sum(by_node.get(name, 0) for name in taken),
        on_gpu=tuple(layer.name for layer in working if layer.name not in taken),
    )
