"""Own a trial of every option on one package: refused for what it lacks, or configured and read back. Build nothing.

    python tests/lab/trt_configured.py PACKAGE

It runs in a process of its own, where the package is the real one or its stand-in. The names of enum members that our
source makes of the options' values at run time, which mypy does not see, meet those of the package here.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import onnx
from onnx import TensorProto, helper

from edgeseg.builder.backends.tensorrt.configuring import configure, used_options
from edgeseg.builder.backends.tensorrt.network import make_builder, parse, typing_flags
from edgeseg.builder.backends.tensorrt.offers import OFFERS, refuse_missing
from edgeseg.builder.backends.tensorrt.options import DLA_POOLS, PoolName, TensorRTOptions
from edgeseg.builder.backends.tensorrt.targets import Target
from edgeseg.builder.backends.tensorrt.typing_fallback import FLAGS, is_fallback_offered, set_flags
from edgeseg.errors import BuildError
from edgeseg.spec import ProfileSpec, TensorLayout
from edgeseg.trt_api import TrtApi, load_api

POOL_BYTES = 1 << 20
PROFILE = ProfileSpec(minimum=(1, 64, 64), optimum=(1, 128, 128), maximum=(2, 256, 256))
SHAPE = ["n", 3, "h", "w"]


def main() -> None:
    """Print what every sample asks for, and the error that it met; empty where it met none."""
    api = load_api(sys.argv[1])  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        path = _net(Path(folder) / "net.onnx")
        found = [[_asked(options), _outcome(api, options, path)] for options in samples(Path(folder))]
    sys.stdout.write(json.dumps(found))


def samples(folder: Path) -> Iterator[TensorRTOptions]:
    """Options that together ask for everything that is offered, one after the other."""
    for pool in get_args(PoolName):
        yield TensorRTOptions(pools=((pool, POOL_BYTES),), dla_core=0 if pool in DLA_POOLS else None)
    yield from (TensorRTOptions(optimization_level=level) for level in (0, 5))
    yield from (TensorRTOptions(aux_streams=streams) for streams in (0, 2))
    yield from (TensorRTOptions(is_tf32_allowed=value) for value in (True, False))
    yield from (TensorRTOptions(is_sparse=True), TensorRTOptions(is_stripped=True), TensorRTOptions(is_refittable=True))
    yield TensorRTOptions(hardware_compatibility="ampere-plus")
    yield TensorRTOptions(hardware_compatibility="same-compute-capability")
    yield from (TensorRTOptions(is_version_compatible=True, has_lean_runtime=value) for value in (True, False))
    for level in ("none", "fast", "moderate", "full"):
        yield TensorRTOptions(tiling_level=level)  # type: ignore[arg-type]
    for verbosity in ("none", "layer-names", "detailed"):
        yield TensorRTOptions(profiling_verbosity=verbosity)  # type: ignore[arg-type]
    for layout in get_args(TensorLayout):
        yield TensorRTOptions(input_format=layout)
        yield TensorRTOptions(output_format=layout)
    yield from (TensorRTOptions(dla_core=0, is_gpu_fallback_allowed=value) for value in (True, False))
    yield from (TensorRTOptions(timing_cache=folder, is_timing_cache_editable=value) for value in (True, False))
    yield TensorRTOptions(targets=("8.6",))


def _asked(options: TensorRTOptions) -> list[str]:
    return [offer.option for offer in OFFERS if offer.is_asked(options)]


def _outcome(api: TrtApi, options: TensorRTOptions, path: Path) -> str:
    try:
        refuse_missing(api, options)
        _try(api, options, path)
    except BuildError as error:
        return str(error)
    return ""


def _try(api: TrtApi, options: TensorRTOptions, path: Path) -> None:
    builder = make_builder(api)
    network = builder.create_network(typing_flags(api, is_strong=True))
    parser = parse(api, network, path)
    members = ("SM86",) if options.targets else ()
    target = Target(device="any", compute_capability="8.6", is_here=False, members=members)
    config = configure(api, builder, network, options, target, (PROFILE,))
    used_options(api, config, options, target)
    if is_fallback_offered(api):
        for precision in FLAGS:
            set_flags(api, config, precision)
    del parser


def _net(path: Path) -> Path:
    node = helper.make_node("Relu", ["image"], ["scores"], name="relu")
    image, scores = (helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("image", "scores"))
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(helper.make_graph([node], "net", [image], [scores]), opset_imports=opsets, ir_version=9)
    onnx.save(model, path)
    return path


if __name__ == "__main__":
    main()
