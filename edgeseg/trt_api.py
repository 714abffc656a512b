"""Own the choice between TensorRT's packages, their log, and the question for a driver. Build nothing, run nothing."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from edgeseg.packages import require
from edgeseg.trt_types import ILogger, TrtModule

__all__ = ["DriverState", "LogTail", "PackageName", "TensorRTName", "TrtApi", "driver_state", "load_api"]

TensorRTName = Literal["tensorrt", "tensorrt-rtx"]
#: as pip calls them; the lean one runs version-compatible plans and builds nothing
PackageName = Literal["tensorrt", "tensorrt-rtx", "tensorrt-lean"]
MODULES: dict[PackageName, str] = {
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
    "tensorrt-lean": "tensorrt_lean",
}
KEPT_LINES = 6
# CUdevice_attribute in cuda.h
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
NAME_BYTES = 256


@dataclass
class Overheard:
    """Lines of a stretch of the log."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The first error, else the first warning."""
        return next(iter(self.errors + self.warnings), "its log is silent")


class LogTail:
    """The last errors and warnings of TensorRT's log, for our own messages; lines may come from several threads.

    Example:
        >>> tail = LogTail()
        >>> tail.add("low on memory", is_error=False)
        >>> tail.add("no kernel for Conv_7", is_error=True)
        >>> str(tail), tail.warnings
        ('no kernel for Conv_7', 1)
    """

    def __init__(self, keep: int = KEPT_LINES) -> None:
        self._errors: deque[str] = deque(maxlen=keep)
        self._warnings: deque[str] = deque(maxlen=keep)
        self._listeners: list[Overheard] = []
        self.warnings = 0

    def add(self, line: str, *, is_error: bool) -> None:
        """Keep ``line``, in place of the oldest of its kind."""
        for listener in self._listeners:
            (listener.errors if is_error else listener.warnings).append(line.strip())
        if is_error:
            self._errors.append(line.strip())
            return
        self._warnings.append(line.strip())
        self.warnings += 1

    def clear(self) -> None:
        """Forget what earlier work has left."""
        self._errors.clear()
        self._warnings.clear()
        self.warnings = 0

    @property
    def last_warning(self) -> str:
        """The newest one; empty where nothing was warned of."""
        return self._warnings[-1] if self._warnings else ""

    @contextlib.contextmanager
    def overheard(self) -> Iterator[Overheard]:
        """What the library says while the block runs."""
        said = Overheard()
        self._listeners.append(said)
        try:
            yield said
        finally:
            self._listeners.remove(said)

    def __str__(self) -> str:
        """The errors; the warnings where there is no error; else a word for silence."""
        return " | ".join(self._errors or self._warnings) or "its log is silent"


@dataclass(frozen=True, kw_only=True)
class TrtApi:
    """One of TensorRT's packages: its module, and the one logger that this process gives it."""

    module: TrtModule
    name: PackageName
    version: str
    logger: ILogger
    log: LogTail


@functools.cache
def load_api(name: PackageName) -> TrtApi:
    """Import the package of a back end, once a process.

    TensorRT keeps the first logger it is given for the life of the process and ignores every later one (measured with
    tensorrt_rtx 1.7.1), so there is one, and it is never released.

    Raises:
        MissingPackageError: the package is absent or does not import.
    """
    module = cast(TrtModule, require(MODULES[name]))
    log = LogTail()
    return TrtApi(module=module, name=name, version=str(module.__version__), logger=_make_logger(module, log), log=log)


def _make_logger(module: TrtModule, tail: LogTail) -> ILogger:
    """Derive from the module's ILogger, which is known at run time only."""
    error, warning = int(module.ILogger.ERROR), int(module.ILogger.WARNING)

    def init(self: Any) -> None:
        module.ILogger.__init__(self)

    def log(_: Any, severity: Any, message: str) -> None:
        if int(severity) <= warning:  # the gravest is 0
            tail.add(message, is_error=int(severity) <= error)

    logger: ILogger = type("TailLogger", (module.ILogger,), {"__init__": init, "log": log})()
    return logger


@dataclass(frozen=True, kw_only=True)
class DriverState:
    """Whether CUDA's driver works here, and for the first device: its name and compute capability, as in ``8.7``."""

    is_working: bool
    reason: str = ""
    device_name: str | None = None
    compute_capability: str | None = None
    driver_version: str | None = None


class _DriverCallError(Exception):
    """A call of the driver's returned an error; never leaves this module."""


def driver_state(library: str = "libcuda.so.1") -> DriverState:
    """Ask the CUDA driver itself, since TensorRT's Runtime may return None or end the process without one.

    Args:
        library: the driver's library, as the loader finds it.
    Returns:
        The state; where it does not work, ``reason`` says why and the rest is None.
    """
    try:
        cuda = ctypes.CDLL(library)
        return _first_device(cuda)
    except OSError as error:
        return DriverState(is_working=False, reason=f"the CUDA driver cannot be loaded ({error})")
    except AttributeError as error:  # ctypes says so of a function that the library has not
        return DriverState(is_working=False, reason=f"{library} is not CUDA's driver ({error})")
    except _DriverCallError as error:
        return DriverState(is_working=False, reason=str(error))


def _first_device(cuda: ctypes.CDLL) -> DriverState:
    _call(cuda, "cuInit", 0)
    count = _get_int(cuda, "cuDeviceGetCount")
    if count < 1:
        raise _DriverCallError("the CUDA driver sees no device (is CUDA_VISIBLE_DEVICES set?)")
    device = _get_int(cuda, "cuDeviceGet", 0)
    name = ctypes.create_string_buffer(NAME_BYTES)
    _call(cuda, "cuDeviceGetName", name, NAME_BYTES, device)
    major = _get_int(cuda, "cuDeviceGetAttribute", COMPUTE_CAPABILITY_MAJOR, device)
    minor = _get_int(cuda, "cuDeviceGetAttribute", COMPUTE_CAPABILITY_MINOR, device)
    version = _get_int(cuda, "cuDriverGetVersion")
    return DriverState(
        is_working=True,
        device_name=name.value.decode(errors="replace"),
        compute_capability=f"{major}.{minor}",
        driver_version=f"{version // 1000}.{version % 1000 // 10}",
    )


def _get_int(cuda: ctypes.CDLL, function: str, *arguments: int) -> int:
    value = ctypes.c_int()
    _call(cuda, function, ctypes.byref(value), *arguments)
    return value.value


def _call(cuda: ctypes.CDLL, function: str, *arguments: Any) -> None:
    status = getattr(cuda, function)(*arguments)
    if status != 0:
        raise _DriverCallError(f"{function} of the CUDA driver failed with {status} ({_error_name(cuda, status)})")


def _error_name(cuda: ctypes.CDLL, status: int) -> str:
    text = ctypes.c_char_p()
    if cuda.cuGetErrorName(status, ctypes.byref(text)) != 0 or text.value is None:
        return "unknown"
    return text.value.decode(errors="replace")
