"""One file of timings that builds share: found by version and device, merged, and set aside where it is damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from device_lab import Device

BUILD = ("build-engine", "--backend", "tensorrt", "--force")


@pytest.fixture
def nets(other_net: Path, chain_copy: Path) -> tuple[Path, Path]:
    """Two nets whose layers have other names."""
    return chain_copy / "net.onnx", other_net


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "timing"


def build(device: Device, net: Path, cache: Path, *words: str, version: str = "11.4.0.106") -> str:
    done = device.run(*BUILD, net, "--timing-cache", cache, *words, version=version)
    assert done.returncode == 0, done.stderr
    return done.stdout


def timing(cache: Path, version: str = "11.4.0.106") -> Path:
    return cache / f"tensorrt-{version}-orin-sm8.7.timing"


def test_a_second_net_adds_to_what_the_first_one_has_timed(
    device: Device, nets: tuple[Path, Path], cache: Path
) -> None:
    build(device, nets[0], cache)
    first = timing(cache).read_bytes()
    build(device, nets[0], cache)
    assert timing(cache).read_bytes() == first  # nothing new to time
    build(device, nets[1], cache)
    assert len(timing(cache).read_bytes()) > len(first)


def test_each_version_has_a_file_of_its_own(device: Device, nets: tuple[Path, Path], cache: Path) -> None:
    for version in ("10.3.0", "11.4.0.106"):
        build(device, nets[0], cache, version=version)
    assert {path.name for path in cache.glob("*.timing")} == {
        "tensorrt-10.3.0-orin-sm8.7.timing",
        "tensorrt-11.4.0.106-orin-sm8.7.timing",
    }


@pytest.mark.parametrize("has_hash", [True, False])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    has_hash: bool, device: Device, nets: tuple[Path, Path], cache: Path
) -> None:
    build(device, nets[0], cache)
    whole = timing(cache).read_bytes()
    timing(cache).write_bytes(whole[:-1] + b"?")
    if not has_hash:
        timing(cache).with_suffix(".timing.sha256").unlink()
    said = build(device, nets[0], cache)
    assert f"timing cache {timing(cache)} was set aside as {timing(cache).name}.damaged" in said
    assert "set aside" not in build(device, nets[0], cache)  # the new one is whole
    assert timing(cache).with_suffix(".timing.damaged").read_bytes() == whole[:-1] + b"?"


def test_two_builds_at_once_lose_nothing_of_each_other(device: Device, nets: tuple[Path, Path], cache: Path) -> None:
    commands = [[sys.executable, "-m", "edgeseg", *BUILD, str(net), "--timing-cache", str(cache)] for net in nets]
    environment = device.environment(sleep=1)  # both have read the empty cache before either writes
    running = [subprocess.Popen(one, env=environment, stderr=subprocess.PIPE, text=True) for one in commands]
    errors = [one.communicate()[1] for one in running]
    assert [one.returncode for one in running] == [0, 0], errors
    both = len(timing(cache).read_bytes())
    for net in nets:
        build(device, net, cache)
    assert len(timing(cache).read_bytes()) == both


def test_an_editable_cache_is_refused_where_the_version_has_none(
    device: Device, nets: tuple[Path, Path], cache: Path
) -> None:
    build(device, nets[0], cache, "--editable-timing-cache")
    done = device.run(*BUILD, nets[0], "--timing-cache", cache, "--editable-timing-cache", version="10.3.0")
    assert done.returncode == 1
    assert "does not take --editable-timing-cache (it has no BuilderFlag.EDITABLE_TIMING_CACHE)" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(device: Device, nets: tuple[Path, Path], cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    done = device.run(*BUILD, nets[0], "--timing-cache", cache)
    assert done.returncode == 1
    assert f"{timing(cache)} cannot be written" in done.stderr
    assert not nets[0].with_suffix(".engine").exists()
