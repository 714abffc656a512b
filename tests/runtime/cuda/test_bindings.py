"""How results of cuda-bindings are checked, and what it made is destroyed."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from graph_lab import CUresult

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda.bindings import Owned, call


def api(*result: object, words: bytes | None = b"in words") -> SimpleNamespace:
    """The driver with one function, which gives ``result``."""
    return SimpleNamespace(
        CUresult=CUresult, cuGetErrorString=lambda code: (CUresult.CUDA_SUCCESS, words), cuWork=lambda *_: result
    )


def test_a_call_gives_what_the_function_gives_beside_its_result() -> None:
    assert call(api(CUresult.CUDA_SUCCESS), "cuWork") is None
    assert call(api(CUresult.CUDA_SUCCESS, 5), "cuWork", 1, 2) == 5


@pytest.mark.parametrize(("words", "told"), [(b"in words", "in words"), (None, str(CUresult.CUDA_ERROR_UNKNOWN))])
def test_a_result_that_is_no_success_is_raised_in_words_where_there_are_any(words: bytes | None, told: str) -> None:
    with pytest.raises(EngineError, match=f"cuWork failed: {told}: close other programs"):
        call(api(CUresult.CUDA_ERROR_UNKNOWN, None, words=words), "cuWork")


def test_what_is_owned_is_destroyed_once_when_it_is_dropped() -> None:
    destroyed: list[int] = []
    owned = Owned(5, destroyed.append)
    assert destroyed == [] and owned.thing == 5
    del owned
    assert destroyed == [5]


FORKS = """
import os
from edgeseg.runtime.cuda.bindings import Owned

owned = Owned(5, lambda thing: print("destroyed", flush=True))
if os.fork() == 0:
    del owned
    os._exit(0)
os.wait()
print("child ended", flush=True)
del owned
"""


def test_a_fork_destroys_nothing_of_its_parents() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["child ended", "destroyed"]
