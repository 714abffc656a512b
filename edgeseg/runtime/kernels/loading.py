"""Own the package's kernels as they are loaded on one device. Compile nothing itself, know no parameter's meaning."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from edgeseg.runtime.cuda import BoundLaunch, CudaContext, Module
from edgeseg.runtime.kernels import postprocess, preprocess
from edgeseg.runtime.kernels.compiling import compiled
from edgeseg.runtime.kernels.cubins import KERNELS as FOLDER

__all__ = ["KernelSet"]

#: the source that has a kernel
SOURCE_OF = {
    **dict.fromkeys(preprocess.KERNELS, "preprocess"),
    **dict.fromkeys(("corners", "mask", "confidence"), "postprocess"),
    **dict.fromkeys(("ids", "areas", "overlay"), "labels"),
}
PARAMS_OF = {**dict.fromkeys(preprocess.KERNELS, preprocess.PARAMS), **postprocess.PARAMS}


class KernelSet:
    """The kernels on a device; a module is compiled, where no wheel or cache has it, and loaded on first use.

    Args:
        cuda: the context of the device.
    """

    def __init__(self, cuda: CudaContext) -> None:
        self._cuda = cuda
        self._modules: dict[str, Module] = {}

    def bound(self, name: str, params: NDArray[Any], *, grid: tuple[int, ...], block: tuple[int, ...]) -> BoundLaunch:
        """A launch of ``edgeseg_<name>`` with these parameters. Needs the context current.

        Raises:
            EngineError: there is neither a cubin nor an nvcc, or the driver is too old, or does not load it.
        """
        source = SOURCE_OF[name]
        if source not in self._modules:
            self._modules[source] = self._loaded(source)
        kernel = self._modules[source].kernel(f"edgeseg_{name}", PARAMS_OF[name])
        return kernel.bound(params, grid=grid, block=(block[0], block[1], 1))

    def _loaded(self, source: str) -> Module:
        device = self._cuda.driver.Device(self._cuda.ordinal)
        capability = ".".join(map(str, device.compute_capability()))
        version = int(self._cuda.driver.get_driver_version())
        driver_version = f"{version // 1000}.{version % 1000 // 10}"
        path = FOLDER / f"{source}.cu"
        return Module(self._cuda, compiled(path, compute_capability=capability, driver_version=driver_version))

    def close(self) -> None:
        """Unload the modules; launches of them are of no use then. Safe to call twice."""
        for module in self._modules.values():
            module.close()
        self._modules.clear()
