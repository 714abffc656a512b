"""From a kernel's source to a cubin, with a compiler that only counts its runs, and with the real one where it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from nvcc_lab import KNOWN, put_nvcc

from edgeseg.errors import EngineError
from edgeseg.files import sha256_of
from edgeseg.runtime.kernels import cubins, nvcc
from edgeseg.runtime.kernels.compiling import cache_folder, check_driver, compiled, way_to_kernels

ROOT = Path(__file__).parents[3]
KERNEL = """
#include "one.h"
extern "C" __global__ void edgeseg_add(const float* a, float* b) { b[threadIdx.x] = a[threadIdx.x] * b[0] + ONE; }
"""


@dataclass
class Machine:
    """A machine whose only nvcc is ours, with a kernel and a cache of its own."""

    folder: Path
    source: Path
    log: Path

    def put_nvcc(self, release: str = "12.6", *, then: str = "sleep 0.1", home: str = "bin") -> Path:
        return put_nvcc(self.folder / home / "nvcc", log=self.log, release=release, then=then)

    @property
    def runs(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def entries(self) -> list[Path]:
        return sorted(cache_folder().iterdir())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    tools = tmp_path / "tools"  # what the fake needs, and no nvcc
    tools.mkdir()
    for name in ("cat", "sleep"):
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{tools}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CUDA_HOME", *nvcc.FLAG_VARIABLES, nvcc.HOST_COMPILER_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nvcc, "USUAL_HOME", str(tmp_path / "usual"))
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    (kernels / "one.h").write_text('#include "deeper.h"\n')
    (kernels / "deeper.h").write_text("#define ONE 1.0f\n")
    (kernels / "add.cu").write_text(KERNEL)
    monkeypatch.setattr(cubins, "KERNELS", kernels)
    monkeypatch.setattr(cubins, "FOLDER", kernels / "cubins")
    return Machine(folder=tmp_path, source=kernels / "add.cu", log=tmp_path / "runs.txt")


def test_a_kernel_is_compiled_once_and_kept(machine: Machine) -> None:
    machine.put_nvcc()
    first = compiled(machine.source, compute_capability="8.7")
    assert first == b"\x7fELF 12.6 " + machine.source.read_bytes()
    assert compiled(machine.source, compute_capability="8.7") == first
    assert machine.runs == 1
    (entry,) = machine.entries()
    assert entry.read_bytes() == first + sha256_of(first).encode()


def change_source(machine: Machine, _: pytest.MonkeyPatch) -> None:
    machine.source.write_text(KERNEL + "// more\n")


def change_header_of_a_header(machine: Machine, _: pytest.MonkeyPatch) -> None:
    (machine.source.parent / "deeper.h").write_text("#define ONE 2.0f\n")


def change_compiler(machine: Machine, _: pytest.MonkeyPatch) -> None:
    machine.put_nvcc("12.8")


def change_environment(_: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVCC_PREPEND_FLAGS", "-ccbin g++-12")


def change_options(_: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cubins, "OPTIONS", ("-O2",))


CHANGES = (change_source, change_header_of_a_header, change_compiler, change_environment, change_options)


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_about_a_cubin_makes_a_new_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    machine.put_nvcc()
    compiled(machine.source, compute_capability="8.7")
    change(machine, monkeypatch)  # type: ignore[operator]
    compiled(machine.source, compute_capability="8.7")
    assert machine.runs == 2


def test_every_architecture_has_a_cubin_of_its_own(machine: Machine) -> None:
    machine.put_nvcc()
    for capability in ("7.5", "8.7", "7.5"):
        compiled(machine.source, compute_capability=capability)
    assert machine.runs == 2
    assert [path.name.split(".")[1] for path in machine.entries()] == ["sm_75", "sm_87"]


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-1], lambda data: b"X" + data[1:], lambda data: data[-64:]]
)
def test_a_damaged_entry_is_made_again(machine: Machine, damage: object) -> None:
    machine.put_nvcc()
    first = compiled(machine.source, compute_capability="8.7")
    (entry,) = machine.entries()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))  # type: ignore[operator]
    assert compiled(machine.source, compute_capability="8.7") == first
    assert machine.runs == 2 and entry.read_bytes() == whole


def test_processes_that_want_the_same_at_once_compile_it_once(machine: Machine) -> None:
    machine.put_nvcc(then="sleep 1")
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from edgeseg.runtime.kernels.compiling import compiled
sys.stdout.buffer.write(compiled(Path({str(machine.source)!r}), compute_capability="8.7"))
"""
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)]
    made = {process.communicate()[0] for process in processes}
    assert made == {b"\x7fELF 12.6 " + machine.source.read_bytes()}
    assert machine.runs == 1 and len(machine.entries()) == 1


def test_without_compiler_and_cubin_the_places_and_the_architecture_are_named(machine: Machine) -> None:
    with pytest.raises(EngineError) as raised:
        compiled(machine.source, compute_capability="8.7")
    message = str(raised.value)
    assert message.startswith("add.cu cannot be made for sm_87: a cubin of it is not in this installation")
    assert "on PATH, in CUDA_HOME (not set) and in " in message and "install CUDA's compiler" in message


def test_the_compiler_is_sought_on_the_path_then_in_cuda_home_then_in_the_usual_place(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nvcc.find_nvcc() is None
    monkeypatch.setenv("CUDA_HOME", str(machine.folder / "home"))
    for home in ("usual/bin", "home/bin", "bin"):
        expected = machine.put_nvcc(home=home)
        found = nvcc.find_nvcc()
        assert found is not None and found.path == expected and found.release == "12.6"


def test_the_last_lines_of_a_compiler_that_fails_are_shown_and_nothing_is_kept(machine: Machine) -> None:
    machine.put_nvcc(then="for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; exit 2")
    with pytest.raises(EngineError, match=r"failed with code 2 \(line 2 \| line 3 .*\| line 9\)"):
        compiled(machine.source, compute_capability="8.7")
    assert machine.entries() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("#!/bin/sh\nexit 3\n", "code 3 .it printed nothing"), ("#!/bin/sh\necho hello\n", "names no release .hello"),
     ("#!/no/such/shell\n", "cannot be run .No such file")],
)  # fmt: skip
def test_a_compiler_that_does_not_answer_is_an_error(machine: Machine, text: str, said: str) -> None:
    machine.put_nvcc().write_text(text)
    with pytest.raises(EngineError, match=said):
        compiled(machine.source, compute_capability="8.7")


@pytest.mark.parametrize(
    ("capability", "said"),
    [("11.0", "CUDA 13.0 or newer"), ("12.1", "a newer CUDA"), ("6.1", "an older CUDA")],
)
def test_an_architecture_that_the_compiler_does_not_know_is_named_with_both_versions(
    machine: Machine, capability: str, said: str
) -> None:
    path = machine.put_nvcc()
    with pytest.raises(EngineError) as raised:
        compiled(machine.source, compute_capability=capability)
    sm = "sm_" + capability.replace(".", "")
    assert f"nvcc 12.6 ({path}) does not compile for {sm}, only for sm_75 sm_87: install {said}" in str(raised.value)
    assert machine.runs == 0


@pytest.mark.parametrize("capability", ["87", "8.7.0", "sm_87", "", "8.75"])
def test_a_compute_capability_is_two_numbers(machine: Machine, capability: str) -> None:
    with pytest.raises(EngineError, match=r"as in 8\.7"):
        compiled(machine.source, compute_capability=capability)


@pytest.mark.parametrize(
    ("driver", "toolkit"), [("12.6", "12.8"), ("13.0", "12.6"), ("13.0", "13.2"), ("13.0", "9.2"), ("10.2", "9.0")]
)
def test_a_driver_loads_what_its_own_or_an_older_major_compiled(driver: str, toolkit: str) -> None:
    check_driver(driver, toolkit)


@pytest.mark.parametrize(("driver", "toolkit"), [("12.6", "13.0"), ("12.9", "13.0"), ("9.2", "10.0")])
def test_a_driver_of_an_older_major_is_refused(driver: str, toolkit: str) -> None:
    with pytest.raises(EngineError, match=rf"made for CUDA {driver} .* CUDA {toolkit} compiles: update the driver"):
        check_driver(driver, toolkit)


def test_nothing_is_compiled_that_the_driver_would_not_load(machine: Machine) -> None:
    machine.put_nvcc("13.0")
    with pytest.raises(EngineError, match=r"made for CUDA 12\.6"):
        compiled(machine.source, compute_capability="8.7", driver_version="12.6")
    assert machine.runs == 0


def test_a_cache_that_cannot_be_written_is_an_error_with_the_variable_that_moves_it(machine: Machine) -> None:
    machine.put_nvcc()
    (machine.folder / "cache").write_text("a file where the folder should be")
    with pytest.raises(EngineError, match=r"compiled kernels cannot be kept .*: set XDG_CACHE_HOME"):
        compiled(machine.source, compute_capability="8.7")


def test_a_relative_cache_folder_does_not_count(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(machine.folder))
    assert cache_folder() == machine.folder / ".cache" / "edgeseg" / "kernels"


@pytest.mark.parametrize("flag", ["-use_fast_math", "--use_fast_math", "-ftz=true", "--fmad=true", "-prec-div=false"])
@pytest.mark.parametrize("name", nvcc.FLAG_VARIABLES)
def test_an_environment_that_changes_the_rounding_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str, flag: str
) -> None:
    machine.put_nvcc()
    monkeypatch.setenv(name, f"-ccbin g++-12 {flag}")
    with pytest.raises(EngineError, match=f"{name} is .*{flag}"):
        compiled(machine.source, compute_capability="8.7")


def with_wheel_cubins(machine: Machine, release: str = "12.6") -> bytes:
    """As in a wheel: the cubins are there, and the compiler that made them is not."""
    path = machine.put_nvcc(release)
    compiler = nvcc.find_nvcc()
    assert compiler is not None
    left_out = cubins.build_cubins(compiler, cubins.FOLDER)
    assert left_out == tuple(one for one in nvcc.ARCHITECTURES if one not in KNOWN)
    path.unlink()
    machine.log.unlink()
    return b"\x7fELF " + release.encode() + b" " + machine.source.read_bytes()


def test_a_wheels_cubin_needs_no_compiler(machine: Machine) -> None:
    expected = with_wheel_cubins(machine)
    for capability in ("7.5", "8.7"):
        assert compiled(machine.source, compute_capability=capability, driver_version="12.2") == expected
    assert not cache_folder().exists()
    with pytest.raises(EngineError, match="sm_86: a cubin of it is not in this installation"):
        compiled(machine.source, compute_capability="8.6")


@pytest.mark.parametrize("change", [change_source, change_header_of_a_header, change_options])
def test_a_wheels_cubin_of_another_source_is_not_taken(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    with_wheel_cubins(machine)
    machine.put_nvcc()
    change(machine, monkeypatch)  # type: ignore[operator]
    compiled(machine.source, compute_capability="8.7")
    assert machine.runs == 1


def test_a_wheels_cubin_that_the_driver_would_not_load_gives_way_to_the_compiler(machine: Machine) -> None:
    with_wheel_cubins(machine, "13.0")
    with pytest.raises(EngineError, match=r"a cubin of it needs a driver for CUDA 13\.0, and there is no nvcc"):
        compiled(machine.source, compute_capability="8.7", driver_version="12.6")
    machine.put_nvcc("12.6")
    made = compiled(machine.source, compute_capability="8.7", driver_version="12.6")
    assert made.startswith(b"\x7fELF 12.6") and machine.runs == 1


@pytest.mark.parametrize("name", ["add.sm_87.cubin", cubins.LIST_NAME])
def test_a_damaged_wheel_is_not_passed_over(machine: Machine, name: str) -> None:
    with_wheel_cubins(machine)
    machine.put_nvcc()
    (cubins.FOLDER / name).write_bytes(b"{")
    with pytest.raises(EngineError, match="reinstall edgeseg"):
        compiled(machine.source, compute_capability="8.7")


def test_the_list_of_a_wheels_cubins_names_the_release_and_both_hashes(machine: Machine) -> None:
    expected = with_wheel_cubins(machine)
    listed = json.loads((cubins.FOLDER / cubins.LIST_NAME).read_text())
    assert listed["toolkit"] == "12.6"
    assert listed["cubins"]["add.sm_75.cubin"] == {
        "identity": cubins.identity_of(machine.source, "75"),
        "sha256": sha256_of(expected),
    }


def test_the_way_to_kernels_is_the_wheel_then_the_compiler_then_an_error(machine: Machine) -> None:
    with pytest.raises(EngineError, match="there is no nvcc on PATH"):
        way_to_kernels(None, None)
    with_wheel_cubins(machine)
    with pytest.raises(EngineError, match=r"a cubin of it needs a driver for CUDA 12\.6, and there is no nvcc on PATH"):
        way_to_kernels("8.7", "11.8")
    assert way_to_kernels("8.7", "12.6") == "the wheel's cubins for sm_87"
    machine.put_nvcc()
    machine.source.write_text(KERNEL + "// more\n")
    assert way_to_kernels("8.7", "12.6").startswith("nvcc 12.6 (")
    assert way_to_kernels(None, None).startswith("nvcc 12.6 (")
    with pytest.raises(EngineError, match=r"made for CUDA 11\.8"):
        way_to_kernels("8.7", "11.8")
    with pytest.raises(EngineError, match="does not compile for sm_86"):
        way_to_kernels("8.6", "12.6")


def test_the_build_of_a_wheel_can_import_it_with_the_standard_library_alone() -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import edgeseg.runtime.kernels.compiling"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)


@pytest.fixture
def real_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nvcc.Nvcc:
    found = nvcc.find_nvcc()
    if found is None:
        pytest.skip(f"no nvcc {nvcc.looked_for()}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return found


def test_the_real_compiler_makes_an_elf_file_that_is_kept(tmp_path: Path, real_nvcc: nvcc.Nvcc) -> None:
    source = tmp_path / "add.cu"
    source.write_text(KERNEL.replace("one.h", "colour_math.h").replace("ONE", "edgeseg::mix(1.0f, 2.0f, b[1])"))
    made = compiled(source, compute_capability="8.7")
    assert made[:4] == b"\x7fELF" and b"edgeseg_add" in made
    assert compiled(source, compute_capability="8.7") == made
    assert len(list(cache_folder().iterdir())) == 1


def test_what_the_real_compiler_says_of_wrong_code_is_shown(tmp_path: Path, real_nvcc: nvcc.Nvcc) -> None:
    source = tmp_path / "wrong.cu"
    source.write_text('extern "C" __global__ void edgeseg_wrong(float* a) { *a = missing; }')
    with pytest.raises(EngineError, match='identifier "missing" is undefined'):
        compiled(source, compute_capability="8.7")


def test_every_operation_of_the_compiled_code_rounds_once_to_the_nearest(tmp_path: Path, real_nvcc: nvcc.Nvcc) -> None:
    source = tmp_path / "round.cu"
    source.write_text('extern "C" __global__ void edgeseg_round(float* a) { a[0] = sqrtf(a[1] * a[2] + a[3]) / a[4]; }')
    real_nvcc.compile(source, "87", tmp_path / "round.cubin", extra=["--keep", "--keep-dir", str(tmp_path)])
    code = (tmp_path / "round.ptx").read_text()
    assert sorted(re.findall(r"\b(?:mul|add|fma|mad|div|sqrt)\.[a-z.]*f32", code)) == [
        "add.rn.f32", "div.rn.f32", "mul.rn.f32", "sqrt.rn.f32"
    ]  # fmt: skip
