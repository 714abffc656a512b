"""The old engine while `edgeseg build-engine` makes a new one: two at once, a full disk, a kill."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from device_lab import Device

from edgeseg.errors import SpecError
from edgeseg.sidecars import read_engine_spec

FAILURE = 1
BACKENDS = ("openvino", "tensorrt-rtx")
#: makes another plan and another sidecar of the small net
OTHERWISE = "--fold-normalisation"
#: more than the small net's ONNX file, which is written on the way, less than its plan on either back end
FULL_BYTES = 8 << 10


def needs(backend: str) -> None:
    pytest.importorskip(backend.replace("-", "_"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def start(*words: object, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgeseg", *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_builds_of_one_target_leave_one_engine_with_its_own_sidecar(
    chain_copy: Path, call_in: Any, backend: str
) -> None:
    needs(backend)
    words = ("build-engine", "net.onnx", "-o", "two.engine", "--backend", backend)
    both = [start(*words, cwd=chain_copy), start(*words, OTHERWISE, cwd=chain_copy)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert read_engine_spec(chain_copy / "two.engine")[0].model.input.dtype in ("float32", "uint8")
    assert [path.name for path in chain_copy.iterdir() if path.name.startswith(".")] == []


def with_full_disk() -> None:
    """No file of the process and its children grows beyond that; Python turns the signal for it into an OSError."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_full_disk_leaves_the_old_engine_and_names_the_file(chain_copy: Path, call_in: Any, backend: str) -> None:
    needs(backend)
    words = ("build-engine", "net.onnx", "-o", "old.engine", "--backend", backend)
    assert call_in(words, chain_copy).returncode == 0
    before = contents(chain_copy)
    process = start(*words, OTHERWISE, cwd=chain_copy, preexec_fn=with_full_disk)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == FAILURE
    assert re.search(r"cannot be written \(File too large\): free space or choose another place", errors), errors
    assert contents(chain_copy) == before


def wait_for(is_there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not is_there():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_a_killed_build_leaves_the_old_engine_and_no_process(
    chain_copy: Path, call_in: Any, device: Device, backend: str
) -> None:
    needs("tensorrt-rtx")
    before = contents(chain_copy)
    words = ("build-engine", "net.onnx", "-o", "net.fp32.engine", "--backend", backend, "--force")
    environment = device.environment(sleep=60) if backend == "tensorrt" else dict(os.environ)
    process = start(*words, cwd=chain_copy, env=environment | {"XDG_CACHE_HOME": str(device.folder / "cache")})
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: bool(children.read_text().split()), process)
    builder = Path("/proc") / children.read_text().split()[0]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    while builder.exists() and "Z" not in (builder / "stat").read_text().rpartition(")")[2].split()[0]:
        time.sleep(0.01)
    assert contents(chain_copy) == before


KILLED = """
import os, signal, sys
from edgeseg.cli.main import main
renames = int(sys.argv.pop(1))
def watch(event, words):
    global renames
    if event == "os.rename" and str(words[1]).startswith("net.fp32.engine"):
        renames -= 1
        if renames < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
main()
"""


def test_a_kill_while_the_files_take_their_names_mixes_none_that_load(chain_copy: Path, call_in: Any) -> None:
    before = contents(chain_copy)
    words = ["build-engine", "net.onnx", "-o", "net.fp32.engine", "--backend", "openvino", OTHERWISE]
    for renames in (0, 1):
        command = [sys.executable, "-c", KILLED, str(renames), *words]
        done = subprocess.run(command, cwd=chain_copy, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        if renames == 0:
            assert before.items() <= contents(chain_copy).items()
        else:
            with pytest.raises(SpecError, match=r"cut short or exchanged|changed or exchanged"):
                read_engine_spec(chain_copy / "net.fp32.engine")
    done = call_in(words, chain_copy)
    assert done.returncode == 0, done.stderr
    assert "not as it was built: net.fp32.engine" in done.stdout
    assert read_engine_spec(chain_copy / "net.fp32.engine")[0].model.input.dtype == "uint8"
