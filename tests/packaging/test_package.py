"""The package as it is installed: light to import, floors in order, a wheel that works alone."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "edgeseg"
HEAVY = (
    "torch", "onnx", "onnx_ir", "onnxslim", "onnxruntime", "onnxscript", "transformers", "timm", "torchvision",
    "segmentation_models_pytorch", "modelopt", "tensorrt", "tensorrt_rtx", "tensorrt_lean", "pycuda", "cuda",
    "openvino", "cv2", "av", "aiohttp", "matplotlib", "jinja2", "safetensors",
)  # fmt: skip
#: from the ground up; a module may import its own floor and those before it. export stands beside the runtime.
FLOORS = (
    "errors", "files", "packages", "records", "precision_spec", "engine_spec", "spec", "sidecars", "totals",
    "latency", "trt_types", "trt_api", "memory", "graph", "metrics", "boundaries", "machine", "imaging", "data",
    "runtime", "capabilities", "accuracy", "export", "builder", "report", "sweep", "cli",
)  # fmt: skip
#: pairs that the order alone would allow
FORBIDDEN = {
    ("export", "runtime"),
    ("export", "accuracy"),
    ("builder", "export"),
    ("report", "builder"),
    ("report", "export"),
}
APART = {"calib_data", "export/nets"}  # data makers and torch modules


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    return [path for path in found if not any(part in path.as_posix() for part in APART)]


def test_import_edgeseg_and_its_help_load_nothing_heavy() -> None:
    program = f"""
import sys
import edgeseg
import edgeseg.cli.main
loaded = [name for name in sys.modules if name.split(".")[0] in {HEAVY!r}]
assert not loaded, loaded
outside = {{name.split(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)
assert outside <= {{"edgeseg", "click", "numpy", "__main__", "__mp_main__"}} | SITE, outside
"""
    site = "SITE = {name.split('.')[0] for name in sys.modules}\n"
    subprocess.run([sys.executable, "-c", "import sys\n" + site + program], check=True, cwd=ROOT)


def test_every_module_imports_with_every_optional_package_blocked() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in modules()]
    names.remove("edgeseg.__main__")
    program = f"""
import sys, importlib
for name in {HEAVY!r}:
    sys.modules[name] = None
for name in {names!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def floor_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "edgeseg" else None


def test_imports_run_downwards_only() -> None:
    wrong = []
    for path in modules():
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own not in FLOORS:
            assert own in {"__init__", "__main__"}, f"{path} has no floor"
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for floor in filter(None, map(floor_of, names)):
                if FLOORS.index(floor) > FLOORS.index(own) or (own, floor) in FORBIDDEN:
                    wrong.append(f"{path.relative_to(ROOT)} imports {floor}")
    assert wrong == []


def test_the_top_level_links_lead_to_the_stages() -> None:
    for name in ("export", "runtime", "calib_data"):
        assert (ROOT / name).is_symlink()
        assert (ROOT / name).resolve() == PACKAGE / name


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and the wheel built from it; of a copy, since builds of two test workers in one folder collide."""
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "edgeseg"
    left_out = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "*.so", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=left_out)
    compiler = unoptimised(tmp_path_factory.mktemp("compiler") / "c++")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source],
        check=True, capture_output=True, env=os.environ | {"EDGESEG_CUBINS": "0", "CC": compiler, "CXX": compiler},
    )  # fmt: skip
    return folder


def unoptimised(path: Path) -> str:
    """A compiler whose last word is -O0: what a wheel carries is asked here, and -O3 takes most of its build."""
    path.write_text('#!/bin/sh\nexec g++ "$@" -O0\n')
    path.chmod(0o755)
    return str(path)


def test_the_wheel_carries_data_checkpoint_and_templates_once(dist: Path) -> None:
    names = zipfile.ZipFile(next(dist.glob("*.whl"))).namelist()
    assert len(names) == len(set(names))
    assert not [name for name in names if not name.startswith("edgeseg")]
    for count, ending in ((32 + 24, ".jpg"), (24, ".png"), (1, ".mp4"), (1, ".safetensors")):
        assert sum(name.endswith(ending) for name in names) == count
    assert {"edgeseg/py.typed", "edgeseg/calib_data/manifest.json"} <= set(names)
    assert [name for name in names if name.endswith(".html.j2")]
    page = (PACKAGE / "runtime" / "live" / "page").iterdir()
    assert {f"edgeseg/runtime/live/page/{path.name}" for path in page} <= set(names)
    assert [name for name in names if name.endswith("/LICENSE")]


def test_the_wheel_carries_the_sources_of_every_kernel(dist: Path) -> None:
    names = set(zipfile.ZipFile(next(dist.glob("*.whl"))).namelist())
    kernels, native = PACKAGE / "runtime" / "kernels", PACKAGE / "imaging" / "native"
    sources = [*kernels.glob("*.cu"), *kernels.glob("*.h"), *native.glob("*_math.h")]
    assert {path.relative_to(ROOT).as_posix() for path in sources} <= names
    assert not [name for name in names if name.endswith(".cubin")]  # EDGESEG_CUBINS=0, see test_cubins.py


def test_the_wheel_in_an_empty_environment_runs_help(dist: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    wheel = next(dist.glob("*.whl"))
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", "-q", *constraints, wheel], check=True, cwd=tmp_path)
    edgeseg = tmp_path / "venv" / "bin" / "edgeseg"
    done = subprocess.run([edgeseg, "--help"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "build-engine" in done.stdout
    failed = subprocess.run(
        [edgeseg, "build-engine", "x.onnx"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert failed.returncode == 1
    assert "pip install 'edgeseg[" in failed.stderr
