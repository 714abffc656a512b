"""Own the options of TensorRT's builder. Do no work."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.console import Size, TrtexecOption

if TYPE_CHECKING:
    from edgeseg.builder.backends.tensorrt import TensorRTOptions
    from edgeseg.spec import BackendName

__all__ = ["tensorrt_options"]

POOLS = (
    "workspace", "tactic-dram", "tactic-shared-memory", "dla-managed-sram", "dla-local-dram", "dla-global-dram",
)  # fmt: skip
LAYOUTS = ("linear", "hwc", "hwc8", "hwc16")


class PoolSize(click.ParamType[tuple[str, int]]):
    """``tactic-dram:2GiB``."""

    name = "POOL:SIZE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        pool, colon, size = str(value).partition(":")
        if not colon or pool not in POOLS:
            self.fail(f"'{value}' is no pool and size; write POOL:SIZE with a POOL of {', '.join(POOLS)}", param, ctx)
        return pool, Size().convert(size, param, ctx)


option = functools.partial(click.option, cls=TrtexecOption)
OPTIONS = (
    option("--workspace", type=Size(), help="Most scratch memory that a layer may use, as 256MiB."),
    option(
        "--memory-pool",
        "--memPoolSize",
        type=PoolSize(),
        multiple=True,
        help=f"Limit of another pool: {', '.join(POOLS[1:])}.",
    ),
    option(
        "--optimization-level",
        "--builderOptimizationLevel",
        type=click.IntRange(0, 5),
        help="0 builds fastest, 5 looks longest.  [TensorRT's default: 3]",
    ),
    option(
        "--timing-cache",
        type=click.Path(path_type=Path),
        help="Folder of what builds have timed, for later ones.  [default for tensorrt: ~/.cache/edgeseg/timing]",
    ),
    option("--no-timing-cache", is_flag=True, help="Time every tactic anew, and keep nothing."),
    option("--editable-timing-cache", is_flag=True, help="Keep in that cache what choosing a tactic by hand needs."),
    option(
        "--hardware-compatibility",
        type=click.Choice(["none", "ampere-plus", "same-compute-capability"]),
        help="Which other devices shall run the engine.",
    ),
    option("--version-compatible", "--versionCompatible", is_flag=True, help="Newer TensorRT versions shall run it."),
    option(
        "--exclude-lean-runtime",
        "--excludeLeanRuntime",
        is_flag=True,
        help="Leave the runtime for that out of the plan; the device has it.",
    ),
    option("--strip-plan", "--stripWeights", is_flag=True, help="Keep the weights in ENGINE.onnx, not in the plan."),
    option("--refit", is_flag=True, help="Weights can be exchanged in the finished plan."),
    option(
        "--tf32/--no-tf32", default=None, help="Products of FP32 convolutions in 19 bits.  [TensorRT's default: yes]"
    ),
    option("--sparsity", is_flag=True, help="Use 2:4 sparse weights where the net has them."),
    option("--aux-streams", "--maxAuxStreams", type=click.IntRange(0), help="Most streams beside the engine's own."),
    option(
        "--tiling-level",
        type=click.Choice(["none", "fast", "moderate", "full"]),
        help="How hard to look for tiles that stay in the L2 cache.",
    ),
    option(
        "--profiling-verbosity",
        type=click.Choice(["none", "layer-names", "detailed"]),
        help="What the plan keeps for 'edgeseg inspect' and profilers.  [default: detailed]",
    ),
    option("--dla-core", "--useDLACore", type=click.IntRange(0), help="Run on that DLA what it can run."),
    option(
        "--gpu-fallback/--no-gpu-fallback",
        default=None,
        help="Whether the GPU may run what DLA cannot.  [default: yes]",
    ),
    option("--target", multiple=True, metavar="CC", help="Compute capability to build for, as 8.6; TensorRT-RTX only."),
    option("--input-format", type=click.Choice(LAYOUTS), help="How the image lies in memory.  [default: linear]"),
    option("--output-format", type=click.Choice(LAYOUTS), help="How the scores lie in memory.  [default: linear]"),
)
OTHERS = ("workspace", "memory_pool", "no_timing_cache", "exclude_lean_runtime")


def tensorrt_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as ``tensorrt``, a function from the back end to TensorRTOptions.

    It returns None for openvino.
    """

    @functools.wraps(command)
    def wrapped(**words: Any) -> None:
        fields = _fields()
        given = {name: words.pop(name) for name in (*fields, *OTHERS)}
        said = {
            name: value for name, value in given.items() if value is not None and value is not False and value != ()
        }
        said |= {name: given[name] for name in ("tf32", "gpu_fallback") if given[name] is False}
        command(tensorrt=lambda backend: _options(backend, said, fields), **words)

    for one in reversed(OPTIONS):
        wrapped = one(wrapped)
    return wrapped


def _fields() -> dict[str, str]:
    """Words of the command line -> fields of TensorRTOptions."""
    from edgeseg.builder.backends.tensorrt.options import OPTION_OF

    return {option.removeprefix("--").replace("-", "_"): field for field, option in OPTION_OF.items()}


def _options(backend: BackendName, said: dict[str, Any], fields: dict[str, str]) -> TensorRTOptions | None:
    from edgeseg.builder.backends.tensorrt import TensorRTOptions

    if backend == "openvino":
        if said:
            raise click.UsageError(
                f"--{next(iter(said)).replace('_', '-')} is TensorRT's, the back end is openvino: "
                "leave it out, or say --backend"
            )
        return None
    if "timing_cache" in said and "no_timing_cache" in said:
        raise click.UsageError("--timing-cache and --no-timing-cache exclude each other")
    if "gpu_fallback" in said and "dla_core" not in said:
        raise click.UsageError("there is no DLA to fall back from: add --dla-core 0, or leave --gpu-fallback out")
    given = {fields[name]: value for name, value in said.items() if name in fields}
    if backend == "tensorrt" and not {"timing_cache", "no_timing_cache"} & said.keys():
        given["timing_cache"] = _cache_folder()
    pools: list[Any] = [("workspace", said["workspace"])] if "workspace" in said else []
    return TensorRTOptions(
        pools=(*pools, *said.get("memory_pool", ())), has_lean_runtime="exclude_lean_runtime" not in said, **given
    )


def _cache_folder() -> Path:
    """By the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeseg" / "timing"
