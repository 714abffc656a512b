"""Metadata, extras and the entry point of edgeseg. The build system and the tools' settings are in pyproject.toml."""

import os
import re
import shutil
import sys
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "edgeseg" / "__init__.py").read_text())
assert VERSION is not None

# Model Optimizer's own [onnx] extra pulls onnxruntime-gpu and cupy, which INT8 and FP16 do not need.
GRAPH = ["onnx>=1.18,<1.22", "onnx-ir>=1.0", "onnxslim>=0.1.60"]  # pure Python but for onnx, which has aarch64 wheels
MEASURE = [*GRAPH, "onnxruntime>=1.20"]  # ranges and diagnoses; aarch64 wheels
EXPORT = [*MEASURE, "torch>=2.8", "onnxscript>=0.5", "safetensors>=0.4"]
QUANTIZE = [
    *MEASURE,
    "nvidia-modelopt>=0.40",
    "torch>=2.8",
    "onnx-graphsurgeon",
    "onnxconverter-common",
    "lief",
    "polygraphy",
]
CPU = [*GRAPH, "openvino>=2025.3"]
TENSORRT = [*GRAPH, "tensorrt>=10.3"]
LEAN = ["tensorrt-lean>=10.3"]  # runs version-compatible plans; aarch64 wheels from 11 on
RTX = [*GRAPH, "tensorrt-rtx>=1.4; platform_machine == 'x86_64'"]
REPORT = ["matplotlib>=3.8", "jinja2>=3.1"]
VIDEO = ["av>=12"]
WEB = ["aiohttp>=3.9"]
BINDINGS = ["cuda-bindings>=12.6", "nvtx>=0.2.8"]  # wheels that import without a driver; aarch64 too
DEMO = EXPORT + QUANTIZE + CPU + RTX + REPORT + VIDEO

# -ffp-contract=off: every instruction set, and CUDA with --fmad=false, rounds alike.
COMPILE = ["-O3", "-fno-math-errno", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra"]
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
NATIVE = "edgeseg/imaging/native"
is_sanitized = bool(os.environ.get("EDGESEG_SANITIZE"))
native = Pybind11Extension(
    "edgeseg.imaging._native",
    sorted(path.as_posix() for path in Path(NATIVE).glob("*.cpp")),
    depends=sorted(path.as_posix() for path in Path(NATIVE).glob("*.h")),
    cxx_std=17,
    extra_compile_args=COMPILE + (SANITIZE if is_sanitized else []),
    extra_link_args=["-pthread", *(SANITIZE if is_sanitized else [])],
)
ParallelCompile(default=2).install()


class BuildWithCubins(build_py):
    """Adds the CUDA kernels, compiled for every listed architecture, where nvcc is.

    EDGESEG_CUBINS=0 leaves them out, 1 insists on them. An editable install has none: its sources change.
    """

    def run(self) -> None:
        super().run()
        asked = os.environ.get("EDGESEG_CUBINS", "")
        if asked != "0" and not self.editable_mode:
            self.add_cubins(Path(self.build_lib) / "edgeseg" / "runtime" / "kernels" / "cubins", is_must=asked == "1")

    def add_cubins(self, folder: Path, *, is_must: bool) -> None:
        sys.path.insert(0, str(HERE))  # a build in isolation has not put it there
        from edgeseg.errors import EdgesegError
        from edgeseg.runtime.kernels.cubins import build_cubins
        from edgeseg.runtime.kernels.nvcc import find_nvcc, looked_for

        shutil.rmtree(folder, ignore_errors=True)  # of an earlier build in the same place
        try:
            nvcc = find_nvcc()
            left_out = build_cubins(nvcc, folder) if nvcc else ()
        except EdgesegError as error:
            sys.exit(f"{error}; or build without CUDA kernels: EDGESEG_CUBINS=0")
        if nvcc is None:
            words = f"no CUDA kernels are compiled: there is no nvcc {looked_for()}"
            sys.exit(f"EDGESEG_CUBINS is 1, but {words}") if is_must else self.warn(words)
        elif left_out:
            missing = " ".join(f"sm_{one}" for one in left_out)
            self.warn(f"nvcc {nvcc.release} does not know {missing}: there the kernels are compiled on the device")


setup(
    name="edgeseg",
    version=VERSION.group(1),
    description="PyTorch segmentation nets to calibrated TensorRT and OpenVINO engines, and camera frames to masks",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["edgeseg", "edgeseg.*"]),
    package_data={
        "edgeseg": ["py.typed"],
        "edgeseg.imaging": ["_native.pyi", "native/*.h"],  # CUDA kernels are compiled on the device with these
        "edgeseg.calib_data": [
            "README.md",
            "*.json",
            "*.mp4",
            "calibration/*.jpg",
            "validation/images/*.jpg",
            "validation/labels/*.png",
        ],
        "edgeseg.export.nets": ["*.json", "*.safetensors"],
        "edgeseg.report": ["*.j2", "schema/*.json"],
        "edgeseg.runtime.live": ["page/*"],
        "edgeseg.runtime.kernels": ["*.cu", "*.h"],
    },
    install_requires=["numpy>=1.24", "opencv-python-headless>=4.8", "click>=8.1", "rich>=13", "msgspec>=0.19"],
    extras_require={
        "graph": GRAPH,
        "measure": MEASURE,
        "export": EXPORT,
        "quantize": QUANTIZE,
        "cpu": CPU,
        "tensorrt": TENSORRT,
        "lean": LEAN,
        "rtx": RTX,
        "cuda": ["pycuda>=2024.1", *BINDINGS],
        "report": REPORT,
        "video": VIDEO,
        "web": WEB,
        "demo": DEMO,
        "dev": [
            *DEMO,
            *BINDINGS,
            *WEB,
            "build",
            "hypothesis",
            "jsonschema>=4.18",
            "mypy",
            "pycocotools",
            "playwright",
            "pybind11>=3",
            "pytest",
            "pytest-benchmark",
            "pytest-xdist",
            "ruff",
            "scikit-image",
            "scikit-learn",
        ],
    },
    ext_modules=[native],
    cmdclass={"build_py": BuildWithCubins},
    entry_points={"console_scripts": ["edgeseg = edgeseg.cli.main:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
