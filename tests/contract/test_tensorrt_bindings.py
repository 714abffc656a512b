"""Our calls against the real Python bindings of TensorRT 10.3, 10.13 and 11.4, without their libraries.

The bindings are compiled modules that import once shared libraries with the right names are there; nothing can be
created with them, but every class, enum member and signature is real. TensorRT-RTX, where installed, is held to the
same table, and to one of the members that it alone has.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import edgeseg

pytestmark = pytest.mark.contract

ROOT = Path(edgeseg.__file__).parent
SOURCES = [
    ROOT / "trt_api.py",
    ROOT / "builder" / "backends" / "tensorrt" / "backend.py",
    ROOT / "builder" / "backends" / "tensorrt" / "monitor.py",
    ROOT / "runtime" / "engines" / "tensorrt.py",
]
WHEELS = [
    "tensorrt-cu12-bindings==10.3.0",
    "tensorrt-cu12-bindings==10.13.3.9.post1",
    "tensorrt-cu13-bindings==11.4.0.106",
]
RTX = "tensorrt_rtx"
DOWNLOAD_S = 30

# class -> member -> the number of arguments we pass; None for an attribute or an enum member
CALLS: dict[str, dict[str, int | None]] = {
    "ILogger": {"__init__": 0, "log": 2, "ERROR": None, "WARNING": None},
    "IProgressMonitor": {"__init__": 0, "phase_start": 3, "step_complete": 2, "phase_finish": 1},
    "Builder": {"__init__": 1, "create_network": 1, "create_builder_config": 0, "build_serialized_network": 2},
    "NetworkDefinitionCreationFlag": {"STRONGLY_TYPED": None},
    "INetworkDefinition": {"num_outputs": None},
    "OnnxParser": {"__init__": 2, "parse_from_file": 1, "num_errors": None, "get_error": 1},
    "ParserError": {"code": 0, "desc": 0, "func": 0, "node": 0, "node_name": 0, "node_operator": 0},
    "IBuilderConfig": {
        "set_memory_pool_limit": 2,
        "get_memory_pool_limit": 1,
        "get_flag": 1,
        "builder_optimization_level": None,
        "progress_monitor": None,
    },
    "MemoryPoolType": {"WORKSPACE": None},
    "BuilderFlag": {"TF32": None},
    "Runtime": {"__init__": 1, "deserialize_cuda_engine": 1},
    "ICudaEngine": {
        "num_io_tensors": None,
        "get_tensor_name": 1,
        "get_tensor_mode": 1,
        "get_tensor_dtype": 1,
        "get_tensor_shape": 1,
        "create_execution_context": 0,
    },
    "TensorIOMode": {"INPUT": None},
    "DataType": dict.fromkeys(("FLOAT", "HALF", "INT8", "UINT8", "INT32", "INT64", "BOOL")),
    "IExecutionContext": {"set_tensor_address": 2, "execute_async_v3": 1, "get_max_output_size": 1},
}
# used behind a question for the package or the attribute
RTX_CALLS: dict[str, dict[str, int | None]] = {
    "ComputeCapability": {"CURRENT": None},
    "IBuilderConfig": {"num_compute_capabilities": None, "set_compute_capability": 2},
    "Runtime": {"get_engine_validity": 1},
    "EngineValidity": {"INVALID": None},
    "EngineInvalidityDiagnostics": {"MALFORMED_ENGINE": None},
}
# names of the bindings that in our source are attributes of other things
OURS = {"append", "clear", "dtype", "itemsize", "logger", "mode", "name", "pop", "shape", "value"}
# __members__ gives them; the source writes no name
BY_VALUE = {"MALFORMED_ENGINE"}

DUMP = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
module = importlib.import_module(sys.argv[2])
classes = {name: value for name, value in vars(module).items() if isinstance(value, type)}
members = {
    name: {key: getattr(value, key).__doc__ or "" for key in dir(value) if not key.startswith("_") or key == "__init__"}
    for name, value in classes.items()
}
print(json.dumps(members))
"""
NVINFER = """
void createInferBuilder_INTERNAL(void) {} void createInferRefitter_INTERNAL(void) {}
void createInferRuntime_INTERNAL(void) {} void getBuilderPluginRegistry(void) {}
void getPluginRegistry(void) {} void initLibNvInferPlugins(void) {}
"""
PARSER = """
void createNvOnnxParser_INTERNAL(void) {} void createNvOnnxParserRefitter_INTERNAL(void) {}
void getNvOnnxParserVersion(void) {}
"""
LIBRARIES = {"nvinfer": NVINFER, "nvinfer_plugin": NVINFER, "nvonnxparser": PARSER}

Members = dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Bindings:
    """The classes of one release with the docstring of every member, where pybind writes the signature."""

    release: str
    members: Members


def download(requirement: str, folder: Path) -> Path:
    """Fetch the wheel for this Python, or skip with pip's reason."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--retries", "1"]
    command += ["--timeout", "10", "--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{requirement} did not download in {DOWNLOAD_S} s")
    if result.returncode != 0:
        pytest.skip(f"{requirement} cannot be downloaded: {result.stderr.strip().splitlines()[-1:]}")
    return next(folder.glob("*.whl"))


def make_empty_libraries(folder: Path, major: str) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the empty libraries")
    for name, source in LIBRARIES.items():
        soname = f"lib{name}.so.{major}"
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{soname}", "-o", str(folder / soname)]
        subprocess.run(command, input=source.encode(), check=True)


def dump(folder: Path, module: str) -> Members:
    """Import the bindings in a process of their own, whose loader finds the libraries in ``folder``."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    command = [sys.executable, "-c", DUMP, str(folder), module]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    members: Members = json.loads(result.stdout)
    return members


@pytest.fixture(scope="module", params=WHEELS)
def bindings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bindings:
    release = str(request.param).split("==")[1]
    folder = tmp_path_factory.mktemp(f"tensorrt-{release}")
    with zipfile.ZipFile(download(request.param, folder)) as wheel:
        wheel.extractall(folder)
    make_empty_libraries(folder, release.split(".")[0])
    return Bindings(release=release, members=dump(folder, "tensorrt_bindings"))


@pytest.fixture(scope="module")
def rtx(tmp_path_factory: pytest.TempPathFactory) -> Bindings:
    pytest.importorskip(RTX, exc_type=ImportError)
    return Bindings(release="rtx", members=dump(tmp_path_factory.mktemp("rtx"), RTX))


def merge(*tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for table in tables:
        for name, members in table.items():
            merged.setdefault(name, {}).update(members)
    return merged


def argument_counts(doc: str, member: str) -> list[tuple[int, int]]:
    """The least and the most arguments, without self, of every overload that pybind wrote into ``doc``."""
    counts = []
    for signature in re.findall(rf"^(?:\d+\. )?{member}\((.*)\)(?: ->|$)", doc, re.MULTILINE):
        if signature == "*args, **kwargs":
            continue
        parts = split_arguments(signature)[1:]
        counts.append((sum("=" not in part for part in parts), len(parts)))
    return counts


def split_arguments(signature: str) -> list[str]:
    """Split at the commas outside all brackets."""
    parts, depth = [""], 0
    for letter in signature:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def violations(bindings: Bindings, table: dict[str, dict[str, int | None]]) -> list[str]:
    found = []
    for name, members in table.items():
        for member, arguments in members.items():
            doc = bindings.members.get(name, {}).get(member)
            if doc is None:
                found.append(f"{name}.{member} is missing")
            elif arguments is not None:
                counts = argument_counts(doc, member)
                if not any(least <= arguments <= most for least, most in counts):
                    found.append(f"{name}.{member} takes {counts}, is given {arguments}")
    return found


def source_words() -> tuple[set[str], set[str]]:
    """Attribute names, dictionary keys and asked-for names of our modules; the last also by themselves."""
    words: set[str] = set()
    asked: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Attribute):
                words.add(node.attr)
            elif isinstance(node, ast.Dict):
                words.update(texts(node.keys))  # members of a new class
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("hasattr", "getattr"):
                asked.update(texts(node.args))
    return words | asked, asked


def texts(nodes: Iterable[ast.expr | None]) -> list[str]:
    """The string constants among ``nodes``."""
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def vocabulary(members: Members) -> set[str]:
    return {"__init__"} | set(members) | {key for values in members.values() for key in values}


def test_every_member_that_we_use_is_there_and_takes_our_arguments(bindings: Bindings) -> None:
    assert violations(bindings, CALLS) == []


def test_rtx_has_what_the_table_says_and_its_own_members_too(rtx: Bindings) -> None:
    assert violations(rtx, merge(CALLS, RTX_CALLS)) == []


def test_the_table_holds_every_tensorrt_name_of_our_source(bindings: Bindings) -> None:
    words, _ = source_words()
    table = merge(CALLS, RTX_CALLS)
    declared = set(table) | {member for members in table.values() for member in members}
    assert (words & vocabulary(bindings.members)) - declared - OURS == set()


def test_the_table_holds_every_rtx_name_of_our_source(rtx: Bindings) -> None:
    words, _ = source_words()
    table = merge(CALLS, RTX_CALLS)
    declared = set(table) | {member for members in table.values() for member in members}
    assert (words & vocabulary(rtx.members)) - declared - OURS == set()


def test_the_table_names_nothing_that_our_source_does_not() -> None:
    words, _ = source_words()
    members = {member for values in merge(CALLS, RTX_CALLS).values() for member in values}
    assert members - words - BY_VALUE == set()


def test_what_only_rtx_has_is_asked_for_before_it_is_used() -> None:
    _, asked = source_words()
    assert "get_engine_validity" in asked


def test_the_bindings_know_none_of_the_rtx_members_so_that_the_questions_matter(bindings: Bindings) -> None:
    assert "get_engine_validity" not in bindings.members["Runtime"]
    assert "ComputeCapability" not in bindings.members
