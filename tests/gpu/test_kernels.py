"""Every kernel on a real device keeps the rules that it keeps as C++; and leaves nothing behind."""

from __future__ import annotations

import pytest
from kernel_launchers import CudaLauncher
from postprocess_rules import PostprocessRules, check_mask, head, noisy
from preprocess_rules import PLACES, PreprocessRules, assert_same_bits, plan_of, planes_of
from smooth_rules import SmoothRules

from edgeseg.runtime.cuda import CudaContext

pytestmark = pytest.mark.gpu


class TestPreprocessing(PreprocessRules):
    """On the device."""


class TestPostprocessing(PostprocessRules):
    """On the device."""


class TestSmoothing(SmoothRules):
    """On the device."""


def test_frame_after_frame_leaves_no_handle_behind(cuda: CudaContext, launcher: CudaLauncher) -> None:
    plan, planes = plan_of(PLACES["letterbox"], "NV12"), planes_of("NV12", PLACES["letterbox"].source_wh)
    before = None
    for _ in range(5):
        assert_same_bits(launcher, plan, planes)
        check_mask(launcher, head(5, (9, 11)), noisy(5, (9, 11)), (37, 100))
        launcher.forget()
        live = cuda.counters().live
        before = before or live
        assert live == before
