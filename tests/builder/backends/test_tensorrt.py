"""Plans really built by TensorRT-RTX, which needs no GPU for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeseg.builder.backends.tensorrt import TensorRTBackend, TensorRTOptions
from edgeseg.builder.backends.tensorrt.monitor import BuildMonitor, run_stoppable
from edgeseg.errors import BuildError, OptionsError
from edgeseg.spec import PrecisionKind
from edgeseg.trt_api import driver_state, load_api

pytest.importorskip("tensorrt_rtx", exc_type=ImportError)

MakeNet = Callable[[str], Path]
without_driver = pytest.mark.skipif(driver_state().is_working, reason="is about machines without a CUDA driver")

INTERRUPTED_BUILD = """
import pathlib, signal, sys, threading, time
from edgeseg.builder.backends.tensorrt import TensorRTBackend

def progress(fraction, step):
    print("building", flush=True)
    time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background leaves it ignored
try:
    TensorRTBackend("tensorrt-rtx").build(pathlib.Path(sys.argv[1]), precision="fp32", progress=progress)
except KeyboardInterrupt:
    print([thread.name for thread in threading.enumerate()], flush=True)
    raise
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
    with pytest.raises(BuildError, match=r"node 0 'make_determinant' \(Det\): UNSUPPORTED_NODE"):
        TensorRTBackend("tensorrt-rtx").build(unsupported_net, precision="fp32", progress=ignore)


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"garbage" * 10)
    with pytest.raises(BuildError, match="refuses the graph"):
        TensorRTBackend("tensorrt-rtx").build(tmp_path / "net.onnx", precision="fp32", progress=ignore)


def test_an_empty_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    with pytest.raises(BuildError, match="no output"):
        TensorRTBackend("tensorrt-rtx").build(tmp_path / "net.onnx", precision="fp32", progress=ignore)


@without_driver
def test_a_failed_build_carries_tensorrts_last_words(make_net: MakeNet, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeseg.builder.backends.tensorrt import backend
    from edgeseg.trt_api import DriverState

    claimed = DriverState(is_working=True, device_name="a card that is not there", compute_capability="8.9")
    monkeypatch.setattr(backend, "driver_state", lambda: claimed)
    with pytest.raises(BuildError, match=r"built no plan .*CUDA driver version is insufficient"):
        TensorRTBackend("tensorrt-rtx").build(make_net("fp32"), precision="fp32", progress=ignore)


def test_rtx_refuses_int8_on_turing_whose_weights_it_keeps_in_floating_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeseg.builder.backends.tensorrt import backend
    from edgeseg.trt_api import DriverState

    turing = DriverState(is_working=True, device_name="RTX 2080", compute_capability="7.5")
    monkeypatch.setattr(backend, "driver_state", lambda: turing)
    TensorRTBackend("tensorrt-rtx").refuse("fp16")
    with pytest.raises(BuildError, match=r"RTX 2080 \(compute capability 7.5, INT8 needs 8.0\): take fp16"):
        TensorRTBackend("tensorrt-rtx").refuse("int8")


@pytest.mark.parametrize(
    ("precision", "capability", "needed"), [("fp8", "8.6", "8.9"), ("bf16", "7.5", "8.0"), ("fp8", "7.5", "8.9")]
)
def test_a_card_without_products_in_a_type_is_refused_with_the_reason(
    precision: PrecisionKind, capability: str, needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeseg.builder.backends.tensorrt import backend
    from edgeseg.trt_api import DriverState

    card = DriverState(is_working=True, device_name="a card", compute_capability=capability)
    monkeypatch.setattr(backend, "driver_state", lambda: card)
    with pytest.raises(BuildError, match=f"a card has compute capability {capability}, {precision} needs {needed}: "):
        TensorRTBackend("tensorrt-rtx").refuse(precision)


@without_driver
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "fp8"])
def test_rtx_refuses_no_precision_on_a_machine_without_a_card(precision: PrecisionKind) -> None:
    TensorRTBackend("tensorrt-rtx").refuse(precision)


def test_an_exception_of_the_progress_callback_stops_the_build_and_its_thread(make_net: MakeNet) -> None:
    def progress(fraction: float, step: str) -> None:
        raise LookupError(step)

    before = threading.active_count()
    with pytest.raises(LookupError):
        TensorRTBackend("tensorrt-rtx").build(make_net("fp32"), precision="fp32", progress=progress)
    assert threading.active_count() == before


def test_a_stopped_monitor_makes_the_builder_give_up(make_net: MakeNet) -> None:
    api = load_api("tensorrt-rtx")
    builder = api.module.Builder(api.logger)
    network = builder.create_network(1 << int(api.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = api.module.OnnxParser(network, api.logger)
    assert parser.parse_from_file(str(make_net("fp32")))
    config, monitor = builder.create_builder_config(), BuildMonitor()
    monitor.attach(api.module, config)
    monitor.stop()
    assert builder.build_serialized_network(network, config) is None
    assert "BuildCanceled" in str(api.log)


def test_ctrl_c_ends_a_build_by_keyboard_interrupt_and_leaves_nothing(make_net: MakeNet, tmp_path: Path) -> None:
    net, place = make_net("int8"), tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-c", INTERRUPTED_BUILD, str(net)]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "building\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert out == "['MainThread']\n"
    assert child.returncode == -signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt")
    assert list(place.iterdir()) == []


def test_phases_fill_one_step_of_their_parent() -> None:
    monitor = BuildMonitor()
    monitor.phase_start("build", None, 2)
    monitor.phase_start("optimise", "build", 4)
    monitor.step_complete("optimise", 1)
    monitor.phase_finish("optimise")
    monitor.step_complete("build", 0)
    monitor.phase_start("time", "build", 2)
    monitor.step_complete("time", 0)
    monitor.step_complete("never started", 0)
    assert [monitor.updates.get_nowait() for _ in range(6)] == [
        (0.0, "build"), (0.0, "optimise"), (0.25, "optimise"), (0.5, "build"), (0.5, "time"), (0.75, "time"),
    ]  # fmt: skip


def test_a_stoppable_run_hands_on_what_its_work_raised() -> None:
    def work() -> None:
        raise BuildError("no plan")

    with pytest.raises(BuildError, match="no plan"):
        run_stoppable(work, BuildMonitor(), ignore)
