"""Ranges for profilers, with NVIDIA's package and without it."""

from __future__ import annotations

import subprocess
import sys
import threading

import nvtx
import pytest

from edgeseg.runtime.cuda import stage

SEEN = """
import contextlib, sys
seen = []
class Annotated(contextlib.ContextDecorator):
    def __init__(self, name, *, domain): self.words = f"{domain}:{name}"
    def __enter__(self): seen.append("in " + self.words)
    def __exit__(self, *_): seen.append("out " + self.words)
import nvtx
nvtx.annotate = Annotated
from edgeseg.runtime.cuda import stage
with stage("pre"):
    with stage("copy-in"):
        pass
assert seen == ["in edgeseg:pre", "in edgeseg:copy-in", "out edgeseg:copy-in", "out edgeseg:pre"], seen
"""

HIDDEN = """
import sys
sys.modules["nvtx"] = None
from edgeseg.runtime.cuda import stage
with stage("pre"), stage("pre"):
    done = True
assert done
try:
    with stage("pre"):
        raise KeyError
except KeyError:
    pass
"""


@pytest.mark.parametrize("program", [SEEN, HIDDEN])
def test_a_stage_is_a_range_of_nvtx_or_nothing_where_that_is_absent(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_stage_is_made_once_for_its_name() -> None:
    assert stage("engine") is stage("engine")
    assert isinstance(stage("engine"), nvtx.annotate)


def test_a_stage_lets_errors_through_and_serves_many_threads() -> None:
    """With NVIDIA's own package, in itself and from several threads at once."""
    both, failed = threading.Barrier(4), []

    def work() -> None:
        for _ in range(100):
            with stage("post"), stage("post"):
                both.wait(10)
        with pytest.raises(ZeroDivisionError), stage("post"):
            1 / 0  # noqa: B018
        failed.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [True] * 4
