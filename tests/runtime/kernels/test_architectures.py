"""Every kernel for every architecture: it compiles, without warnings and spills, and a comment says what it moves."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ptxas_report import Usage, usages

from edgeseg.files import locked, sha256_of, write_atomically
from edgeseg.runtime.kernels.cubins import identity_of, kernel_sources
from edgeseg.runtime.kernels.nvcc import ARCHITECTURES, Nvcc, find_nvcc, looked_for

EXTRA = ("-Xptxas=-v", "-Werror=all-warnings")
SOURCES = kernel_sources()
#: more values alive at once than 32 registers hold
SPILLING = """
__device__ __noinline__ float helper(float value) { return value * 2.0f; }
extern "C" __global__ void edgeseg_spilling(float* a) {
  float kept[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) kept[i] = a[i * 32 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) a[(63 - i) * 32 + threadIdx.x] = kept[i] * kept[(i * 7 + 3) % 64];
}
extern "C" __global__ void edgeseg_light(float* a) { a[threadIdx.x] = helper(a[threadIdx.x]); }
"""
COMMENT = re.compile(r"((?:^//.*\n)+)(.*)", re.MULTILINE)
KERNEL_NAME = re.compile(r"edgeseg_\w*(?:\{[\w,]+\}\w*)*")
BYTES_LINE = re.compile(r"^// *bytes\b", re.MULTILINE | re.IGNORECASE)


@pytest.fixture(scope="module")
def nvcc() -> Nvcc:
    found = find_nvcc()
    if found is None:
        pytest.skip(f"no nvcc {looked_for()}")
    return found


def report_of(nvcc: Nvcc, source: Path, architecture: str, folder: Path) -> str:
    """What ptxas says, kept in ``folder`` as long as nothing changes that decides about it."""
    key = sha256_of("\n".join([identity_of(source, architecture), *nvcc.settings(), *EXTRA]).encode())
    kept = folder / f"{source.stem}.sm_{architecture}.{key}.txt"
    if not kept.exists():
        said = nvcc.compile(source, architecture, kept.with_suffix(".cubin"), extra=EXTRA)
        kept.with_suffix(".cubin").unlink()
        write_atomically(kept, said)
    return kept.read_text()


@pytest.fixture(scope="module")
def reports(
    nvcc: Nvcc, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], tuple[Usage, ...]]:
    """By file and architecture; all are compiled at the first call, as many at once as there are cores."""
    cache = getattr(pytestconfig, "cache", None)
    folder = cache.mkdir("edgeseg-kernels") if cache else tmp_path_factory.mktemp("kernels")
    known = nvcc.architectures()
    work = [(source, one) for source in SOURCES for one in ARCHITECTURES if one in known]
    with locked(folder / "all"), ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(pool.map(lambda one: report_of(nvcc, *one, folder), work))
    return {(source.name, sm): usages(text) for (source, sm), text in zip(work, said, strict=True)}


def test_this_compiler_knows_every_listed_architecture(nvcc: Nvcc) -> None:
    if int(nvcc.release.split(".")[0]) < 13:
        pytest.skip(f"nvcc {nvcc.release}: the list is that of CUDA 13.0")
    assert set(ARCHITECTURES) <= set(nvcc.architectures())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_kernel_compiles_without_spills(
    nvcc: Nvcc, reports: dict[tuple[str, str], tuple[Usage, ...]], source: Path, architecture: str
) -> None:
    if architecture not in nvcc.architectures():
        pytest.skip(f"nvcc {nvcc.release} does not know sm_{architecture}")
    found = reports[source.name, architecture]
    assert [one.function for one in found if one.is_entry]
    assert [one for one in found if one.spills] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_comment_of_every_kernel_says_what_bytes_it_moves(
    reports: dict[tuple[str, str], tuple[Usage, ...]], source: Path
) -> None:
    entries = {one.function for one in reports[source.name, "87"] if one.is_entry}
    assert entries - with_bytes(source.read_text()) == set()


def with_bytes(text: str) -> set[str]:
    """Kernels that a comment names, or stands directly above, and that has a line which starts with ``Bytes``."""
    said = [(comment, below) for comment, below in COMMENT.findall(text) if BYTES_LINE.search(comment)]
    names = [name for comment, below in said for name in KERNEL_NAME.findall(comment)]
    names += [name for _, below in said if "__global__" in below for name in KERNEL_NAME.findall(below)]
    return set(itertools.chain.from_iterable(map(expanded, names)))


def expanded(name: str) -> Iterator[str]:
    """``a_{b,c}`` is ``a_b`` and ``a_c``."""
    parts = re.split(r"\{([\w,]+)\}", name)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))


def test_a_kernel_without_a_line_of_its_bytes_is_noticed() -> None:
    above = "// Two, edgeseg_{one,two}_more.\n// Grid: 1; block: 32.\n// Bytes: 4\n#include <x>\n"
    below = '// Third.\n// Bytes: read 4.\nextern "C" __global__ void edgeseg_three(int) {}\n'
    silent = '// Moves bytes.\nextern "C" __global__ void edgeseg_four(int) {}\nvoid edgeseg_five() {}\n'
    assert with_bytes(above + below + silent) == {"edgeseg_one_more", "edgeseg_two_more", "edgeseg_three"}


def test_a_kernel_that_spills_is_noticed_beside_one_that_does_not(nvcc: Nvcc, tmp_path: Path) -> None:
    source = tmp_path / "spilling.cu"
    source.write_text(SPILLING)
    said = nvcc.compile(source, "87", tmp_path / "spilling.cubin", extra=("-Xptxas=-v", "-maxrregcount=32"))
    found = {one.function: one for one in usages(said)}
    heavy, light = found["edgeseg_spilling"], found["edgeseg_light"]
    assert heavy.is_entry and heavy.spills and heavy.spill_store_bytes > 0 and heavy.stack_bytes > 0
    assert light.is_entry and not light.spills
    assert heavy.registers == 32 and light.registers is not None and light.registers <= 32
    assert [one.is_entry for name, one in found.items() if "helper" in name] == [False]


def test_a_report_of_another_form_is_an_error_and_not_a_clean_one() -> None:
    with pytest.raises(ValueError, match="says nothing of"):
        usages("ptxas info : Compiling entry function 'edgeseg_add' for 'sm_87'")
    with pytest.raises(ValueError, match="no frame of edgeseg_add"):
        usages("ptxas info : Function properties for edgeseg_add\n    0 bytes of anything")
