"""Plans really built by TensorRT-RTX, which needs no GPU for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from process_lab import has_ended

from edgeseg.builder.backends.tensorrt import TensorRTBackend, TensorRTOptions, backend, worker
from edgeseg.builder.backends.tensorrt.monitor import BuildMonitor
from edgeseg.errors import BuildError, OptionsError
from edgeseg.spec import PrecisionKind, ProfileSpec
from edgeseg.trt_api import DriverState, driver_state, load_api

pytest.importorskip("tensorrt_rtx", exc_type=ImportError)

MakeNet = Callable[[str], Path]
without_driver = pytest.mark.skipif(driver_state().is_working, reason="is about machines without a CUDA driver")

INTERRUPTED_BUILD = """
import pathlib, signal, sys, time
from edgeseg.builder.backends.tensorrt import TensorRTBackend

def progress(fraction, step):
    print("building", flush=True)
    time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background leaves it ignored
TensorRTBackend("tensorrt-rtx").build(pathlib.Path(sys.argv[1]), precision="fp32", progress=progress)
"""


def ignore(fraction: float, step: str) -> None:
    """Progress that nobody watches."""


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_rtx_builds_a_plan_of_every_precision_that_stands_in_the_graph(
    make_net: MakeNet, precision: PrecisionKind
) -> None:
    built = TensorRTBackend("tensorrt-rtx").build(make_net(precision), precision=precision, progress=ignore)
    assert len(built.plan) > 10_000
    assert built.options["warnings"] is not None


@without_driver
def test_rtx_without_a_card_builds_for_every_generation_from_ampere_on(make_net: MakeNet) -> None:
    built = TensorRTBackend("tensorrt-rtx").build(make_net("fp32"), precision="fp32", progress=ignore)
    assert built.compute_capability is not None
    assert built.device == f"any RTX (SM {built.compute_capability})"
    assert {"8.0", "8.6", "8.9", "12.0"} <= set(built.compute_capability.split(", "))
    assert "7.5" not in built.compute_capability
    assert str(built.options["compute_capabilities"]).startswith("SM80, SM86, SM89, SM120")


def test_a_given_workspace_is_what_the_builder_used(make_net: MakeNet) -> None:
    built = TensorRTBackend("tensorrt-rtx", TensorRTOptions(pools=(("workspace", 1 << 26),))).build(
        make_net("fp32"), precision="fp32", progress=ignore
    )
    assert built.options["workspace_bytes"] == 1 << 26


def test_a_workspace_below_one_byte_is_refused() -> None:
    with pytest.raises(OptionsError, match="memory pool workspace is 0 bytes"):
        TensorRTOptions(pools=(("workspace", 0),))


def test_progress_comes_in_the_callers_thread_never_falls_and_ends_at_one(make_net: MakeNet) -> None:
    seen: list[tuple[float, threading.Thread]] = []
    TensorRTBackend("tensorrt-rtx").build(
        make_net("int8"),
        precision="int8",
        progress=lambda fraction, step: seen.append((fraction, threading.current_thread())),
    )
    fractions = [fraction for fraction, _ in seen]
    assert len(fractions) > 20
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert {thread for _, thread in seen} == {threading.current_thread()}


def test_an_operator_that_tensorrt_has_not_is_named_with_its_node(unsupported_net: Path) -> None:
    with pytest.raises(BuildError, match=r"node 0 'make_determinant' \(Det of 1x3x32x32\): UNSUPPORTED_NODE"):
        TensorRTBackend("tensorrt-rtx").build(unsupported_net, precision="fp32", progress=ignore)


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"garbage" * 10)
    with pytest.raises(BuildError, match="refuses the graph"):
        TensorRTBackend("tensorrt-rtx").build(tmp_path / "net.onnx", precision="fp32", progress=ignore)


def test_an_empty_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    with pytest.raises(BuildError, match="no output"):
        TensorRTBackend("tensorrt-rtx").build(tmp_path / "net.onnx", precision="fp32", progress=ignore)


def test_a_failed_build_carries_tensorrts_last_words(make_net: MakeNet) -> None:
    scarce = TensorRTBackend("tensorrt-rtx", TensorRTOptions(pools=(("workspace", 1000),)))
    with pytest.raises(BuildError, match=r"built no plan .*within workspace limit.*: try another precision"):
        scarce.build(make_net("fp32"), precision="fp32", progress=ignore)


@without_driver
@pytest.mark.parametrize(("targets", "precision"), [(("7.5",), "int8"), (("8.6", "7.5"), "int8")])
def test_rtx_refuses_int8_on_turing_whose_weights_it_keeps_in_floating_point(
    targets: tuple[str, ...], precision: PrecisionKind
) -> None:
    turing = TensorRTBackend("tensorrt-rtx", TensorRTOptions(targets=targets))
    turing.refuse("fp16")
    with pytest.raises(BuildError, match=r"target 7.5 \(compute capability 7.5, INT8 needs 8.0\): take fp16"):
        turing.refuse(precision)


@pytest.mark.parametrize(
    ("precision", "capability", "needed"), [("fp8", "8.6", "8.9"), ("bf16", "7.5", "8.0"), ("fp8", "7.5", "8.9")]
)
def test_a_card_without_products_in_a_type_is_refused_with_the_reason(
    precision: PrecisionKind, capability: str, needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = DriverState(is_working=True, device_name="a card", compute_capability=capability)
    monkeypatch.setattr(backend, "driver_state", lambda: card)
    with pytest.raises(BuildError, match=f"a card has compute capability {capability}, {precision} needs {needed}: "):
        TensorRTBackend("tensorrt-rtx").refuse(precision)


@without_driver
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "fp8"])
def test_rtx_refuses_no_precision_on_a_machine_without_a_card(precision: PrecisionKind) -> None:
    TensorRTBackend("tensorrt-rtx").refuse(precision)


def test_an_exception_of_the_progress_callback_ends_the_builders_process(make_net: MakeNet) -> None:
    def progress(fraction: float, step: str) -> None:
        raise LookupError(step)

    with pytest.raises(LookupError):
        TensorRTBackend("tensorrt-rtx").build(make_net("fp32"), precision="fp32", progress=progress)
    assert pids_of_workers(os.getpid()) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_build_that_is_interrupted_or_killed_leaves_no_process_and_no_file(
    sent: signal.Signals, code: int, make_net: MakeNet, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-c", INTERRUPTED_BUILD, str(make_net("int8"))]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "building\n"
        (builder,) = pids_of_workers(parent.pid)
        parent.send_signal(sent)
        parent.communicate(timeout=30)
    assert parent.returncode == code
    assert has_ended(builder)
    assert list(place.iterdir()) == []


def pids_of_workers(parent: int) -> list[int]:
    """Processes that it has started and that build."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(one) for one in children if worker.__name__ in Path(f"/proc/{one}/cmdline").read_text()]


def test_phases_fill_one_step_of_their_parent() -> None:
    seen: list[tuple[float, str]] = []
    monitor = BuildMonitor(lambda fraction, step: seen.append((fraction, step)))
    monitor.phase_start("build", None, 2)
    monitor.phase_start("optimise", "build", 4)
    monitor.step_complete("optimise", 1)
    monitor.phase_finish("optimise")
    monitor.step_complete("build", 0)
    monitor.phase_start("time", "build", 2)
    monitor.step_complete("time", 0)
    monitor.step_complete("never started", 0)
    assert seen == [
        (0.0, "build"), (0.0, "optimise"), (0.25, "optimise"), (0.5, "build"), (0.5, "time"), (0.75, "time"),
    ]  # fmt: skip


def words(value: object) -> str | None:
    """What differs from the defaults; None leaves it to pytest."""
    if not isinstance(value, TensorRTOptions):
        return None
    default = vars(TensorRTOptions())
    return " ".join(f"{name}={one}" for name, one in vars(value).items() if one != default[name])


EVERY_OPTION = [
    TensorRTOptions(optimization_level=0),
    TensorRTOptions(optimization_level=5),
    TensorRTOptions(aux_streams=0),
    TensorRTOptions(aux_streams=2),
    TensorRTOptions(is_tf32_allowed=False),
    TensorRTOptions(is_tf32_allowed=True),
    TensorRTOptions(is_sparse=True),
    TensorRTOptions(profiling_verbosity="none"),
    TensorRTOptions(profiling_verbosity="layer-names"),
    TensorRTOptions(pools=(("tactic-dram", 1 << 30), ("tactic-shared-memory", 48 << 10))),
    TensorRTOptions(input_format="hwc", output_format="hwc"),
    *(TensorRTOptions(tiling_level=level) for level in ("none", "fast", "moderate", "full")),
    *(TensorRTOptions(targets=(one,)) for one in ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")),
    TensorRTOptions(targets=("12.0", "7.5")),
]


@pytest.mark.parametrize("options", EVERY_OPTION, ids=words)
def test_rtx_really_builds_with_every_option_that_it_takes(options: TensorRTOptions, make_net: MakeNet) -> None:
    rtx = TensorRTBackend("tensorrt-rtx", options)
    rtx.refuse("fp32")
    built = rtx.build(make_net("fp32"), precision="fp32", progress=ignore)
    assert len(built.plan) > 10_000
    if options.optimization_level is not None:
        assert built.options["optimization_level"] == options.optimization_level
    if options.targets:
        assert built.compute_capability == ", ".join(sorted(options.targets, key=float))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (TensorRTOptions(hardware_compatibility="ampere-plus"), r"--hardware-compatibility ampere-plus \(.*--target"),
        (TensorRTOptions(is_version_compatible=True), "--version-compatible .*in the release that built them only"),
        (TensorRTOptions(timing_cache=Path("cache")), "--timing-cache .*do nothing since TensorRT-RTX 1.2"),
        (TensorRTOptions(dla_core=0), r"--dla-core \(RTX cards have no DLA\)"),
    ],
    ids=words,
)
def test_rtx_refuses_by_name_and_version_what_it_would_ignore(options: TensorRTOptions, reason: str) -> None:
    with pytest.raises(BuildError, match=rf"tensorrt-rtx {load_api('tensorrt-rtx').version} does not take {reason}"):
        TensorRTBackend("tensorrt-rtx", options)


@without_driver
@pytest.mark.parametrize("option", ["is_stripped", "is_refittable"])
def test_rtx_refuses_stripped_and_refittable_plans_without_a_card_as_its_builder_would(
    option: str, make_net: MakeNet
) -> None:
    rtx = TensorRTBackend("tensorrt-rtx", TensorRTOptions(**{option: True, "targets": ("8.9",)}))  # type: ignore[arg-type]
    with pytest.raises(BuildError, match=r"beside a card.*build beside the card"):
        rtx.refuse("fp32")
    with pytest.raises(BuildError, match=r"built no plan .*CUDA_SUCCESS"):  # fails when a release no longer needs it
        rtx.build(make_net("fp32"), precision="fp32", progress=ignore)


def test_a_target_that_rtx_does_not_know_is_refused_with_those_that_it_knows() -> None:
    with pytest.raises(BuildError, match=r"does not build for 9.9: it knows 7.5, 8.0, 8.6, 8.9, 12.0"):
        TensorRTBackend("tensorrt-rtx", TensorRTOptions(targets=("9.9",))).refuse("fp32")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_two_builds_of_one_net_have_the_same_size_and_options(make_net: MakeNet, precision: PrecisionKind) -> None:
    first, second = (
        TensorRTBackend("tensorrt-rtx").build(make_net(precision), precision=precision, progress=ignore)
        for _ in range(2)
    )
    assert len(first.plan) == len(second.plan)
    assert first.options == second.options


def test_an_open_size_without_a_profile_is_refused_with_the_options_that_say_it(open_net: Path) -> None:
    with pytest.raises(BuildError, match=r"input 'image' is -1x3x-1x-1 and no profile says.*--min-shapes"):
        TensorRTBackend("tensorrt-rtx").build(open_net, precision="fp32", progress=ignore)


@pytest.mark.parametrize("sizes", [(64,), (64, 256)])
def test_rtx_builds_a_plan_for_one_profile_and_for_several(sizes: tuple[int, ...], open_net: Path) -> None:
    profiles = tuple(
        ProfileSpec(minimum=(1, size // 2, size // 2), optimum=(1, size, size), maximum=(4, size * 2, size * 2))
        for size in sizes
    )
    built = TensorRTBackend("tensorrt-rtx").build(open_net, precision="fp32", profiles=profiles, progress=ignore)
    assert len(built.plan) > 10_000
