"""Own how bound objects behave: no new attributes, shapes as Dims, host memory as a buffer. Know no network."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from trt_standin.enums import DataType

__all__ = ["Bound", "Dims", "IHostMemory", "host_memory"]


class Bound:
    """A class of a compiled module: an unknown attribute is an error where Python would make one."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"'tensorrt.tensorrt.{type(self).__name__}' object has no attribute '{name}'")
        object.__setattr__(self, name, value)


class Dims(Bound):
    """A shape: a sequence that equals lists and tuples; to compare two of them is a TypeError, as in the bindings."""

    def __init__(self, *shape: Sequence[int]) -> None:
        self._sides = tuple(int(side) for side in (shape[0] if shape else ()))

    def __len__(self) -> int:
        return len(self._sides)

    def __getitem__(self, index: Any) -> Any:
        return self._sides[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, tuple)):
            raise TypeError("__eq__(): incompatible function arguments")
        return self._sides == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(self._sides)


class IHostMemory:
    """Bytes that the library owns; to be read through the buffer protocol."""

    @property
    def nbytes(self) -> int:
        return len(memoryview(self))  # type: ignore[arg-type]

    @property
    def dtype(self) -> Any:
        return DataType.INT8


def host_memory(data: bytes) -> Any:
    """An IHostMemory that holds ``data``: bytes(x) and memoryview(x) work, len(x) does not, as in the bindings."""
    array = ctypes.c_ubyte * len(data)
    kind = type("IHostMemory", (IHostMemory, array), {"_type_": ctypes.c_ubyte, "_length_": len(data), "__len__": None})
    return kind.from_buffer_copy(data)
