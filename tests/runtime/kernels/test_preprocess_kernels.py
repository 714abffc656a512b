"""The pre-processing kernels, run as C++: their rules, what a launch refuses, and no access that goes astray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernel_lab import KERNELS as KERNELS_FOLDER
from kernel_lab import Shim, run_sanitized
from preprocess_rules import PLACES, PreprocessRules, expected_of, plan_of, planes_of

from edgeseg.errors import ShapeError
from edgeseg.runtime.kernels.preprocess import KERNELS, PARAMS, PreprocessKernel


class TestPreprocessing(PreprocessRules):
    """As C++."""


def test_the_params_are_laid_out_as_the_kernels_read_them(shim: Shim) -> None:
    assert {shim.size_of(name) for name in KERNELS} == {PARAMS.itemsize}


def test_a_plans_tables_are_copies() -> None:
    plan, planes = plan_of(PLACES["crop"], "BGR", interpolation="antialias"), planes_of("BGR", (38, 22))
    before = expected_of(plan, planes)
    tables = plan.tables()
    for name in ("row_first", "row_weights", "column_first", "column_weights", "scale", "shift", "yuv"):
        tables[name].fill(0)  # type: ignore[literal-required]
    assert expected_of(plan, planes).tobytes() == before.tobytes()
    assert plan.tables()["row_weights"].sum() == pytest.approx(7, abs=1e-5)  # every output row's weights make 1


def test_what_a_launch_cannot_use_is_refused() -> None:
    kernel = PreprocessKernel(plan_of(PLACES["crop"], "NV12", dtype="float16").tables())
    planes = [(4096, 64), (8192, 64)]
    for given, message in (
        ({"planes": planes[:1]}, "NV12 is given in 1 planes"),
        ({"tables_ptr": 8}, "the tables' address is 0x8"),
        ({"tensor_ptr": 257}, "the tensor's address is 0x101"),
        ({"batch_index": -1}, "batch index is -1"),
    ):
        whole_call: dict[str, Any] = {"planes": planes, "tables_ptr": 256, "tensor_ptr": 256} | given
        with pytest.raises(ShapeError, match=message):
            kernel.params(**whole_call)


def test_no_read_or_write_goes_astray_under_the_address_sanitizer(tmp_path: Path) -> None:
    choice = "pitch or written or parts or (combination and (one or end))"
    run_sanitized(Path(__file__), tmp_path, sources=[KERNELS_FOLDER / "preprocess.cu"], choice=choice)
