"""What glibc does as it is told, in a process of its own: its settings are for good."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc 2.33 or newer tells what its heap holds"
)

PROGRAM = """
import ctypes
from pathlib import Path
from edgeseg.runtime.heap import few_arenas, give_back, long_lived

NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def mapped():
    return libc.mallinfo2().hblkhd

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def touched(size):
    place = libc.malloc(size)
    libc.memset(place, 1, size)
    return place
"""


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_lives_long_has_mappings_of_its_own_and_what_a_frame_takes_has_none() -> None:
    run("""
        libc.free(libc.malloc(8 << 20))  # glibc now thinks that such pieces come and go
        before = mapped()
        with long_lived():
            engine = libc.malloc(1 << 20)
        assert mapped() - before >= 1 << 20
        libc.free(engine)
        assert mapped() == before
        frame = libc.malloc(8 << 20)
        assert mapped() == before
    """)


def test_free_pages_below_what_lives_go_back() -> None:
    run("""
        with long_lived():
            pass
        places = [touched(100 << 10) for _ in range(400)]
        last, full = places.pop(), resident()
        for place in places:
            libc.free(place)
        assert full - resident() < 4 << 20  # the last one holds the heap up
        give_back()
        assert full - resident() > 32 << 20
    """)


def test_threads_share_two_heaps() -> None:
    run("""
        import threading
        few_arenas()
        ready, done = threading.Barrier(21), threading.Event()

        def work():
            libc.malloc(1000)
            ready.wait()
            done.wait()

        threads = [threading.Thread(target=work) for _ in range(20)]
        for one in threads:
            one.start()
        ready.wait()
        text = ctypes.create_string_buffer(1 << 20)
        file = libc.fmemopen
        file.restype = ctypes.c_void_p
        stream = ctypes.c_void_p(file(text, len(text), b"w"))
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        done.set()
        assert 1 <= text.value.count(b"<heap ") <= 2, text.value.count(b"<heap ")
    """)
