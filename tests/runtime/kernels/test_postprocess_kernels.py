"""The kernels of the post-processing, run as C++: their rules, what is refused, and no access that goes astray."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_lab import KERNELS, Shim, run_sanitized
from postprocess_rules import CROP, PostprocessRules, head, ids_head

from edgeseg.errors import ShapeError
from edgeseg.imaging.postprocess import MaskFormat
from edgeseg.runtime.kernels.postprocess import PARAMS, PostprocessLaunches


class TestPostprocessing(PostprocessRules):
    """As C++."""


@pytest.mark.parametrize("kernel", sorted(PARAMS))
def test_the_params_are_as_large_in_python_as_in_cuda(shim: Shim, kernel: str) -> None:
    assert PARAMS[kernel].itemsize == shim.size_of(kernel)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ShapeError, match="no confidence"):
        PostprocessLaunches(ids_head((4, 4)), size_hw=(8, 8), has_confidence=True)
    with pytest.raises(ShapeError, match="hwc8"):
        PostprocessLaunches(ids_head((4, 4)), size_hw=(8, 8), layout="hwc8")
    with pytest.raises(ShapeError, match="NHWC"):
        PostprocessLaunches(head(3, (4, 4), layout="NHWC"), size_hw=(8, 8), layout="hwc16")
    with pytest.raises(ShapeError, match="input_hw"):
        PostprocessLaunches(head(3, (4, 4)), size_hw=(45, 83), placement=CROP)
    with pytest.raises(ShapeError, match="ignored class 7"):
        PostprocessLaunches(head(3, (4, 4)), size_hw=(8, 8), mask_format=MaskFormat(ignored_class=7))


def test_no_kernel_reads_or_writes_beside_its_arrays(tmp_path: Path) -> None:
    choice = "address or outside or confidence or finished or overlay or nan or lie or bits and (nhwc or int8 or floor)"
    sources = [KERNELS / "labels.cu", KERNELS / "postprocess.cu"]
    run_sanitized(Path(__file__), tmp_path, sources=sources, choice=choice)
