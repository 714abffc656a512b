"""Own the package's kernels as they are loaded on one device. Compile nothing itself, know no parameter's meaning."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from edgeseg.runtime.cuda import BoundLaunch, CudaContext, Module
from edgeseg.runtime.kernels import postprocess, preprocess, smoothing
from edgeseg.runtime.kernels.compiling import compiled
from edgeseg.runtime.kernels.cubins import kernel_sources

__all__ = ["KernelSet"]

#: the source that has a kernel
SOURCE_OF = {
    **dict.fromkeys(preprocess.KERNELS, "preprocess"),
    **dict.fromkeys(("corners", "mask", "confidence"), "postprocess"),
    **dict.fromkeys(("ids", "areas", "overlay"), "labels"),
    "smooth": "smooth",
}
PARAMS_OF = {**dict.fromkeys(preprocess.KERNELS, preprocess.PARAMS), **postprocess.PARAMS, "smooth": smoothing.PARAMS}


class KernelSet:
    """All kernels on a device, compiled first where neither wheel nor cache has them.

    Args:
        cuda: the context of the device, current.
    Raises:
        EngineError: there is neither a cubin nor an nvcc, or the driver is too old, or does not load it.
    """

    def __init__(self, cuda: CudaContext) -> None:
        device, version = cuda.driver.Device(cuda.ordinal), int(cuda.driver.get_driver_version())
        capability = ".".join(map(str, device.compute_capability()))
        driver_version = f"{version // 1000}.{version % 1000 // 10}"
        self._modules: dict[str, Module] = {}
        for path in kernel_sources():
            cubin = compiled(path, compute_capability=capability, driver_version=driver_version)
            self._modules[path.stem] = Module(cuda, cubin)

    def bound(self, name: str, params: NDArray[Any], *, grid: tuple[int, ...], block: tuple[int, ...]) -> BoundLaunch:
        """A launch of ``edgeseg_<name>`` with these parameters. Needs the context current."""
        kernel = self._modules[SOURCE_OF[name]].kernel(f"edgeseg_{name}", PARAMS_OF[name])
        return kernel.bound(params, grid=grid, block=(block[0], block[1], 1))

    def close(self) -> None:
        """Unload the modules; launches of them are of no use then. Safe to call twice."""
        for module in self._modules.values():
            module.close()
        self._modules.clear()
