"""Own CUDA's compiler as it is on this machine: where it is, what it knows, one run of it. Keep no result."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeseg.errors import EngineError

__all__ = ["ARCHITECTURES", "INCLUDE_FOLDERS", "OPTIONS", "Nvcc", "architecture_of", "find_nvcc", "looked_for"]

KERNELS = Path(__file__).parent
#: for what stands between quotes in an #include, after the file's own folder; nvcc is given the same
INCLUDE_FOLDERS = (KERNELS.parents[1] / "imaging" / "native", KERNELS)
#: for which a wheel carries cubins and the tests compile, each with the first CUDA that compiles for it
ARCHITECTURES = {
    "75": "10.0",
    "80": "11.0",
    "86": "11.1",
    "87": "11.4",
    "89": "11.8",
    "90": "11.8",
    "100": "12.8",
    "110": "13.0",
    "120": "12.8",
}
#: What decides about rounding is said although it is nvcc's default. g++ rounds every operation once, to the nearest
#: float, and keeps numbers below the normal ones: so no multiplication and addition in one (--fmad=false, as
#: -ffp-contract=off there), quotients and roots of full precision (without these two they are approximations of 1 or 2
#: units in the last place), and nothing flushed to 0.
OPTIONS = ("-O3", "-std=c++17", "--fmad=false", "-prec-div=true", "-prec-sqrt=true", "-ftz=false")
#: nvcc adds what these hold to its options. A host compiler (-ccbin) may well be named there.
FLAG_VARIABLES = ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS")
ROUNDING_FLAG = re.compile(r"fast[_-]math|-(ftz|fmad|prec-div|prec-sqrt)\b")
HOST_COMPILER_VARIABLE = "NVCC_CCBIN"
USUAL_HOME = "/usr/local/cuda"
RELEASE = re.compile(r"release (\d+\.\d+)")
CAPABILITY = re.compile(r"(\d+)\.(\d)")
TIMEOUT_S = 600
SHOWN_LINES = 8


def architecture_of(compute_capability: str) -> str:
    """A compute capability as nvcc writes it behind ``sm_``.

    Raises:
        EngineError: it is not two numbers with a point between them.

    Example:
        >>> architecture_of("8.7"), architecture_of("12.0")
        ('87', '120')
    """
    parts = CAPABILITY.fullmatch(compute_capability)
    if parts is None:
        raise EngineError(f"the compute capability is {compute_capability!r}", "give two numbers, as in 8.7")
    return parts[1] + parts[2]


@dataclass(frozen=True, kw_only=True)
class Nvcc:
    """A compiler that answers; ``version_text`` is all that ``nvcc --version`` prints, ``release`` as in ``13.0``."""

    path: Path
    version_text: str
    release: str

    def architectures(self) -> tuple[str, ...]:
        """What this release compiles for, upwards."""
        codes = re.findall(r"^sm_(\d+)$", _output_of([str(self.path), "--list-gpu-code"]), re.MULTILINE)
        return tuple(sorted(codes, key=int))

    def refuse_unknown(self, architecture: str) -> None:
        """Raise an EngineError where this release does not compile for ``architecture``."""
        known = self.architectures()
        if architecture in known:
            return
        is_too_new = not known or int(architecture) > int(known[0])
        first = ARCHITECTURES.get(architecture)
        newer = f"CUDA {first} or newer" if first else "a newer CUDA"
        wanted = newer if is_too_new else "an older CUDA"
        raise EngineError(
            f"nvcc {self.release} ({self.path}) does not compile for sm_{architecture}, only for "
            f"{' '.join(f'sm_{one}' for one in known)}",
            f"install {wanted} and put its nvcc first on PATH",
        )

    def compile(self, source: Path, architecture: str, output: Path, *, extra: Sequence[str] = ()) -> str:
        """Compile ``source`` to a cubin at ``output``.

        Args:
            source: a .cu file.
            architecture: as ``architecture_of`` gives it.
            output: where the cubin goes; its folder exists.
            extra: further options.
        Returns:
            What nvcc printed.
        Raises:
            EngineError: nvcc failed; the message ends with its last lines.
        """
        self.refuse_unknown(architecture)
        folders = [f"-I{folder}" for folder in INCLUDE_FOLDERS]
        words = [str(self.path), "-cubin", f"-arch=sm_{architecture}", *OPTIONS, *folders, *extra]
        return _output_of([*words, str(source), "-o", str(output)])

    def settings(self) -> tuple[str, ...]:
        """Whatever else decides about a cubin's bytes: the compiler's version, the options, the environment."""
        from_environment = [os.environ.get(name, "") for name in (*FLAG_VARIABLES, HOST_COMPILER_VARIABLE)]
        return (self.version_text, *OPTIONS, *from_environment)


def find_nvcc() -> Nvcc | None:
    """The first nvcc of PATH, CUDA_HOME and /usr/local/cuda; None where there is none.

    Raises:
        EngineError: there is one, but it does not run, or the environment has it round in another way.
    """
    path = next((path for path in _places() if path.is_file()), None)
    if path is None:
        return None
    _refuse_rounding_flags()
    text = _output_of([str(path), "--version"])
    release = RELEASE.search(text)
    if release is None:
        raise EngineError(f"{path} --version names no release ({_last_lines(text)})", "install CUDA's compiler again")
    return Nvcc(path=path, version_text=text, release=release[1])


def looked_for() -> str:
    """Where ``find_nvcc`` looks, for messages."""
    home = os.environ.get("CUDA_HOME")
    return f"on PATH, in CUDA_HOME ({home or 'not set'}) and in {USUAL_HOME}"


def _places() -> Iterator[Path]:
    on_path = shutil.which("nvcc")
    if on_path:
        yield Path(on_path)
    for home in (os.environ.get("CUDA_HOME"), USUAL_HOME):
        if home:
            yield Path(home) / "bin" / "nvcc"


def _refuse_rounding_flags() -> None:
    for name in FLAG_VARIABLES:
        flags = os.environ.get(name, "")
        if ROUNDING_FLAG.search(flags):
            raise EngineError(
                f"{name} is {flags!r}: the kernels would round otherwise than on the CPU, and masks differ",
                f"take the arithmetic's options out of {name}",
            )


def _output_of(words: Sequence[str]) -> str:
    """What a run prints, errors and all."""
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=TIMEOUT_S
        )
    except OSError as error:
        raise EngineError(f"{words[0]} cannot be run ({error.strerror})", "install CUDA's compiler again") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{words[0]} was not ready after {TIMEOUT_S} s", "run it by hand, or use a wheel with cubins"
        ) from error
    if done.returncode != 0:
        raise EngineError(
            f"{' '.join(words)} failed with code {done.returncode} ({_last_lines(done.stdout)})",
            "see that CUDA's compiler and a g++ that it takes are whole",
        )
    return done.stdout


def _last_lines(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-SHOWN_LINES:]) or "it printed nothing"
