"""Own DLPack: capsules on memory of ours, and memory out of other libraries' capsules. Copy nothing, wait for nothing.

The structures are those of dlpack.h 1.x (github.com/dmlc/dlpack), which the legacy capsule shares from 0.2 on.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseg.errors import ShapeError

__all__ = ["CPU", "CUDA", "CUDA_HOST", "CUDA_MANAGED", "Taken", "give", "place_of", "take"]

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13  # DLDeviceType
READ_ONLY = 1  # DLPACK_FLAG_BITMASK_READ_ONLY
NEWEST = (1, 0)
KINDS = {0: "i", 1: "u", 2: "f", 6: "b"}  # DLDataTypeCode by NumPy's letters
BITS = {"i": (8, 16, 32, 64), "u": (8, 16, 32, 64), "f": (16, 32, 64), "b": (8,)}


class Device(ctypes.Structure):
    """DLDevice."""

    _fields_ = (("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32))


class DataType(ctypes.Structure):
    """DLDataType."""

    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", Device),
        ("ndim", ctypes.c_int32),
        ("dtype", DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("dl_tensor", Tensor), ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class ManagedVersioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("dl_tensor", Tensor),
    )


#: by the capsule's name: what it holds, and its name once it is consumed, which the capsule refers to
FORMS: dict[bytes, tuple[type[Managed] | type[ManagedVersioned], bytes]] = {
    b"dltensor_versioned": (ManagedVersioned, b"used_dltensor_versioned"),
    b"dltensor": (Managed, b"used_dltensor"),
}
# prototypes of their own: what ctypes.pythonapi has by attribute is shared with every other user
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
_Deleter = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)  # with Python's lock, which some libraries' deleters count on


class _Memory:
    """What NumPy takes for the owner of an array."""

    def __init__(self, owner: object, interface: dict[str, Any]) -> None:
        self.owner, self.__array_interface__ = owner, interface


def give(
    owner: object,
    *,
    ptr: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    pitches: tuple[int, ...],
    place: tuple[int, int],
    is_versioned: bool,
) -> Any:
    """A capsule on memory, which keeps the owner until its consumer is done with it or it is dropped unconsumed.

    It is NumPy's own of an array at that address, told to be elsewhere: nothing reads the array, and NumPy's deleter
    holds in any thread, while an error is raised, and when the interpreter ends, where one written in Python does not.

    Raises:
        BufferError: elements or pitches that DLPack has not.
    """
    interface = {"shape": shape, "typestr": dtype.str, "data": (ptr, False), "strides": pitches, "version": 3}
    array = np.asarray(_Memory(owner, interface))
    has_versions = np.lib.NumpyVersion(np.__version__) >= "2.1.0"  # readers of versioned capsules take the others too
    capsule = array.__dlpack__(max_version=NEWEST) if is_versioned and has_versions else array.__dlpack__()
    _, managed = _opened(capsule)
    managed.dl_tensor.device = Device(*place)
    return capsule


@dataclass(frozen=True, kw_only=True, eq=False)
class Taken:
    """Memory out of a capsule, as ``DeviceTensor`` has it; ``lease`` keeps it, and lets it go when it is dropped."""

    ptr: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pitches: tuple[int, ...]
    place: tuple[int, int]
    is_read_only: bool
    lease: object


class _Lease:
    """Calls the producer's deleter once, at its end."""

    def __init__(self, managed: Managed | ManagedVersioned) -> None:
        self._managed = managed

    def __del__(self) -> None:
        if self._managed.deleter:
            _Deleter(self._managed.deleter)(ctypes.addressof(self._managed))


def place_of(source: Any) -> tuple[int, int] | None:
    """The DLDeviceType and the device's number of a DLPack tensor; None: it is none.

    Raises:
        ShapeError: it is one without memory of a known kind, as torch's meta tensors are.
    """
    if not hasattr(source, "__dlpack_device__"):
        return None
    try:
        kind, ordinal = source.__dlpack_device__()
    except (BufferError, RuntimeError, ValueError) as error:
        raise ShapeError(
            f"{type(source).__name__} is no DLPack tensor ({error})", "give one in the memory of the host or a GPU"
        ) from error
    return int(kind), int(ordinal)


def take(source: Any, *, stream: int | None = None) -> Taken:
    """The memory of a DLPack tensor.

    Args:
        source: has ``__dlpack__``.
        stream: handle of the CUDA stream that will read, which the source lets wait for its own work; None on a CPU.
    Raises:
        ShapeError: it does not give its memory, or elements that we have not, or sides below 1.
    """
    capsule = _capsule(source, stream)
    name, managed = _opened(capsule)
    taken = _read(managed, type(source).__name__)  # refused before it is consumed: the capsule cleans up by itself
    _rename(capsule, FORMS[name][1])
    return Taken(**taken, lease=_Lease(managed))


def _capsule(source: Any, stream: int | None) -> Any:
    try:
        try:
            return source.__dlpack__(stream=stream, max_version=NEWEST)
        except TypeError:  # from before DLPack 1.0
            return source.__dlpack__(stream=stream)
    except (BufferError, RuntimeError, ValueError, TypeError) as error:
        raise ShapeError(
            f"{type(source).__name__} gives no DLPack tensor ({error})", "detach it, or make it contiguous"
        ) from error


def _opened(capsule: Any) -> tuple[bytes, Managed | ManagedVersioned]:
    for name, (form, _) in FORMS.items():
        if _is_valid(capsule, name):
            return name, form.from_address(_pointer(capsule, name))
    raise ShapeError(f"{capsule!r} is no DLPack capsule that nobody has consumed", "ask the tensor for a new one")


def _read(managed: Managed | ManagedVersioned, what: str) -> dict[str, Any]:
    is_read_only = False
    if isinstance(managed, ManagedVersioned):
        if managed.major != NEWEST[0]:
            raise ShapeError(f"{what} is of DLPack {managed.major}.{managed.minor}", f"give one of {NEWEST[0]}.x")
        is_read_only = bool(managed.flags & READ_ONLY)
    tensor = managed.dl_tensor
    shape = tuple(tensor.shape[: tensor.ndim])
    dtype = _dtype(tensor.dtype, what)
    if min(shape, default=1) < 1:
        raise ShapeError(f"{what} has shape {shape}", "give sides from 1 on")
    steps = tensor.strides[: tensor.ndim] if tensor.strides else _packed(shape)
    return {
        "ptr": (tensor.data or 0) + tensor.byte_offset,
        "shape": shape,
        "dtype": dtype,
        "pitches": tuple(step * dtype.itemsize for step in steps),
        "place": (tensor.device.device_type, tensor.device.device_id),
        "is_read_only": is_read_only,
    }


def _dtype(told: DataType, what: str) -> np.dtype[Any]:
    kind = KINDS.get(told.code)
    if kind is None or told.bits not in BITS[kind] or told.lanes != 1:
        raise ShapeError(
            f"{what} has elements of DLPack's type {told.code}, {told.bits} bits, {told.lanes} lanes",
            "give integers, floats of 16, 32 or 64 bits, or booleans",
        )
    return np.dtype(f"{kind}{told.bits // 8}")


def _packed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A C-contiguous tensor may have no strides."""
    return tuple(int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape)))
