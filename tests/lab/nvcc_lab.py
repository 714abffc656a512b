"""Own a compiler that is none: it answers as nvcc does, knows two architectures, notes its runs. Compile nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["KNOWN", "put_nvcc"]

KNOWN = ("75", "87")
#: a "cubin" is ELF's first bytes, the release, and the source
TEXT = """#!/bin/sh
case "$1" in
--version) echo "Cuda compilation tools, release {release}, V{release}.20";;
--list-gpu-code) printf 'sm_75\\nsm_87\\n';;
*) echo run >> {log}; {then}
   while [ "$#" -gt 3 ]; do shift; done; {{ printf '\\177ELF {release} '; cat "$1"; }} > "$3";;
esac
"""


def put_nvcc(path: Path, *, log: Path, release: str = "12.6", then: str = ":") -> Path:
    """Write it to ``path``.

    Args:
        path: as a rule ends with ``nvcc``.
        log: takes a line for every compilation.
        release: what it says it is.
        then: shell words that every compilation starts with.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT.format(release=release, log=log, then=then))
    path.chmod(0o755)
    return path
