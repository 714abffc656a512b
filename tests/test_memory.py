from __future__ import annotations

from pathlib import Path

import pytest
from device_lab import Device

from edgeseg.memory import device_memory, host_memory


def test_free_is_what_a_program_can_still_get_and_not_what_no_program_uses(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable: 3000 kB\nHugePages_Total: 0\n")
    found = host_memory(meminfo=tmp_path / "meminfo")
    assert found is not None
    assert (found.total_bytes, found.free_bytes, found.is_shared) == (8000 << 10, 3000 << 10, False)


@pytest.mark.parametrize("text", [None, "", "MemTotal: 8000 kB\n"])
def test_a_kernel_that_does_not_say_is_unknown(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    assert host_memory(meminfo=tmp_path / "meminfo") is None


def test_a_gpu_with_memory_of_its_own_is_asked_for_it(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in device.settings(integrated=0, total=8 << 30, free=5 << 30).items():
        monkeypatch.setenv(name, value)
    found = device_memory(str(device.library))
    assert found is not None
    assert (found.total_bytes, found.free_bytes, found.is_shared) == (8 << 30, 5 << 30, False)


def test_a_jetson_s_gpu_has_the_memory_that_the_machine_has(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_INTEGRATED", "1")
    found, host = device_memory(str(device.library)), host_memory()
    assert found is not None
    assert host is not None
    assert found.is_shared
    assert found.total_bytes == host.total_bytes


@pytest.mark.parametrize("library", ["no-such-library.so", "libc.so.6"])
def test_a_machine_without_a_driver_has_no_gpu_s_memory(library: str) -> None:
    assert device_memory(library) is None


def test_a_broken_driver_gives_no_memory(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_CUINIT", "100")
    assert device_memory(str(device.library)) is None
