"""Own loaded device code and its kernels. Compile nothing, know no kernel's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda.counters import HandleKind
from edgeseg.runtime.cuda.handles import ContextHolder, Handle

__all__ = ["BoundLaunch", "Kernel", "Module"]


class Module(Handle):
    """A cubin on the device.

    Args:
        holder: its context, current.
        cubin: compiled for this device's architecture.
    Raises:
        EngineError: the driver does not take it.
    """

    kind: ClassVar[HandleKind] = "module"

    def __init__(self, holder: ContextHolder, cubin: bytes) -> None:
        try:
            raw = holder.driver.module_from_buffer(cubin)
        except holder.driver.Error as error:
            raise EngineError(
                f"the driver does not load the compiled kernels ({error})",
                "update the driver, or remove the folder of compiled kernels that 'edgeseg doctor' names",
            ) from error
        # functions keep PyCUDA's module, so they end with it in one piece
        super().__init__(holder, (raw, {}))

    def kernel(self, name: str, dtype: np.dtype[Any]) -> Kernel:
        """A kernel by its C name; needs the context current.

        Args:
            name: as ``extern "C"`` has it.
            dtype: the record that is its one parameter, aligned as C has it.
        Raises:
            EngineError: the module has none of that name.
        """
        module, functions = self.raw
        if name not in functions:
            try:
                function = module.get_function(name)
            except self.holder.driver.LogicError as error:
                raise EngineError(f"the compiled kernels have no '{name}' ({error})", "reinstall edgeseg") from error
            functions[name] = function.prepare([f"{dtype.itemsize}s"])
        return Kernel(self, name, dtype)

    def function(self, name: str) -> Any:
        """PyCUDA's function, prepared; not to be kept."""
        return self.raw[1][name]


class Kernel:
    """One function of a module; made by ``Module.kernel``, launched by ``Stream.launch``."""

    def __init__(self, module: Module, name: str, dtype: np.dtype[Any]) -> None:
        self.module, self.name, self.dtype = module, name, dtype

    def bound(
        self, params: np.void | NDArray[Any], *, grid: tuple[int, ...], block: tuple[int, int, int]
    ) -> BoundLaunch:
        """A launch whose parameter, grid and block are settled, to be enqueued as often as wanted.

        Args:
            params: its one parameter, a record of the kernel's dtype; copied.
            grid: blocks in x, y, z.
            block: threads in x, y, z.
        Raises:
            ShapeError: the parameter is not of that dtype.
        """
        if params.dtype != self.dtype or params.size != 1:
            raise ShapeError(
                f"{self.name} got {params.size} x {params.dtype}, expected one {self.dtype}", "use its own dtype"
            )
        return BoundLaunch(self, params.tobytes(), grid, block)


@dataclass(frozen=True, eq=False)
class BoundLaunch:
    """One launch of a kernel, all settled but its stream; the addresses in its parameter must live as long."""

    kernel: Kernel
    params: bytes
    grid: tuple[int, ...]
    block: tuple[int, int, int]

    def enqueue(self, raw_stream: Any) -> None:
        """Launch it on PyCUDA's stream.

        PyCUDA's plain call is not taken: in its newest version that keeps every parameter it ever saw
        (``_build_arg_buf`` under ``lru_cache``), and a record that can be written to has no hash.
        """
        kernel = self.kernel  # its function is asked for each time: one that is kept would keep a closed module
        kernel.module.function(kernel.name).prepared_async_call(self.grid, self.block, raw_stream, self.params)
