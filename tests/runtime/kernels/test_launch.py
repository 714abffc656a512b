"""The stand-in for a launch: every thread once, in either order, with its params, and a helper's sum."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from kernel_lab import Guarded, Shim, build_shim

SOURCE = """
#include "launch.h"
struct TrialParams {
  unsigned long long order, counters;
  int width, height;
};
extern "C" __global__ void edgeseg_trial(const __grid_constant__ TrialParams params) {
  const unsigned x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= unsigned(params.width) || y >= unsigned(params.height)) return;
  int* const order = reinterpret_cast<int*>(params.order);
  order[1 + y * params.width + x] = order[0]++;
  edgeseg::warp_add(reinterpret_cast<unsigned*>(params.counters), (x + y) % 3);
}
EDGESEG_KERNEL(trial, TrialParams)
"""
DTYPE = np.dtype([("order", "u8"), ("counters", "u8"), ("width", "i4"), ("height", "i4")], align=True)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    folder = tmp_path_factory.mktemp("trial")
    source = folder / "trial.cu"
    source.write_text(SOURCE)
    return Shim(build_shim(folder, sources=[source]))


@pytest.mark.parametrize("backwards", [False, True])
def test_every_thread_runs_once_in_the_order_asked_for(trial: Shim, backwards: bool) -> None:
    order, counters = np.zeros(1 + 35, np.int32), np.zeros(3, np.uint32)
    params = np.zeros((), DTYPE)
    for name, value in (("order", order.ctypes.data), ("counters", counters.ctypes.data), ("width", 7), ("height", 5)):
        params[name] = value
    trial.launch("trial", (2, 3), (4, 2), params, backwards=backwards)
    assert sorted(order[1:]) == list(range(35))
    assert order[1:].argmin() == (34 if backwards else 0)
    assert counters.sum() == 35
    assert counters.tolist() == [sum((x + y) % 3 == key for x in range(7) for y in range(5)) for key in range(3)]


def test_params_of_another_size_are_refused(trial: Shim) -> None:
    with pytest.raises(AssertionError):
        trial.launch("trial", (1,), (1,), np.zeros((), [("order", "u8")]))


@pytest.mark.parametrize("place", [-1, 6])
def test_a_guarded_array_tells_of_a_byte_written_beside_it(place: int) -> None:
    guarded = Guarded((2, 3), np.uint8, offset=3)
    assert guarded.array.ctypes.data % 256 == 3
    guarded.check()
    ctypes.memset(guarded.array.ctypes.data + place, 0, 1)
    with pytest.raises(AssertionError):
        guarded.check()
