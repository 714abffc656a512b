from __future__ import annotations

import tracemalloc

import numpy as np

from edgeseg.runtime.recycling import KEPT_ARRAYS, KEPT_SHAPES, Recycler


def test_memory_is_given_out_again_when_nobody_holds_it() -> None:
    recycler = Recycler()
    places = {recycler.take((480, 640)).ctypes.data for _ in range(20)}
    assert len(places) == 1


def test_what_is_held_in_any_form_is_never_given_out_again() -> None:
    recycler = Recycler()
    first = recycler.take((4, 6))
    first[:] = 1
    holders = [first[1:3, ::2], first.T, memoryview(first), np.frombuffer(first, np.uint8), first.reshape(-1)[5:]]
    del first
    while holders:
        taken = recycler.take((4, 6))
        taken[:] = 2
        assert np.all(np.asarray(holders.pop()) == 1)


def test_a_steady_loop_of_several_shapes_allocates_nothing_large() -> None:
    recycler = Recycler()
    shapes = [(480, 640), (720, 1280), (480, 640, 3)]
    for shape in shapes:
        recycler.take(shape)
    tracemalloc.start()
    for _ in range(5):
        for shape in shapes:
            recycler.take(shape)[...] = 0
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4096


def test_no_more_is_kept_than_a_few_arrays_of_a_few_shapes() -> None:
    recycler = Recycler()
    tracemalloc.start()
    for side in range(100, 100 + 3 * KEPT_SHAPES):
        held = [recycler.take((side, 1000)) for _ in range(3 * KEPT_ARRAYS)]
        del held
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < KEPT_SHAPES * KEPT_ARRAYS * (100 + 3 * KEPT_SHAPES) * 1000 + 10_000
