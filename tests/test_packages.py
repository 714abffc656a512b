from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from device_lab import Device

from edgeseg.errors import MissingPackageError
from edgeseg.packages import EXTRA_OF, require


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'edgeseg\[tensorrt\]'"):
        require("tensorrt")


def test_every_optional_package_has_an_extra_that_setup_offers() -> None:
    setup = (Path(__file__).parent.parent / "setup.py").read_text()
    for extra in set(EXTRA_OF.values()):
        assert f'"{extra}": ' in setup


def test_importing_openvino_starts_no_process_and_loads_no_telemetry() -> None:
    program = """
import multiprocessing, sys
from edgeseg.packages import require
started = []
multiprocessing.Process.start = lambda self: started.append(self)
openvino = require("openvino")
assert openvino.Core().available_devices
assert not started, started
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_model_optimizer_does_not_find_tensorrt_and_others_do(device: Device) -> None:
    program = """
import sys
from edgeseg.packages import require
tensorrt = require("tensorrt")
require("modelopt.onnx.quantization")
assert not sys.modules["modelopt.onnx.trt_utils"].TRT_PYTHON_AVAILABLE
assert require("tensorrt") is tensorrt
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=device.environment(has_driver=False))


def test_threads_may_import_at_the_same_time() -> None:
    program = """
import sys, threading
from edgeseg.packages import require
sys.setswitchinterval(1e-6)
failed = []
threading.excepthook = lambda about: failed.append(about.exc_value)
threads = [threading.Thread(target=lambda: [require("openvino") for _ in range(300)]) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
"""
    subprocess.run([sys.executable, "-c", program], check=True)
