"""Own which of TensorRT's packages loads an engine. Load no plan."""

from __future__ import annotations

from edgeseg.errors import EngineError, MissingPackageError
from edgeseg.runtime.preflight import loads_in
from edgeseg.spec import EngineSpec
from edgeseg.trt_api import PackageName, TrtApi, load_api

__all__ = ["api_for"]

#: that run a version-compatible plan, the whole library first, since it can refit as well
RUNTIMES: tuple[PackageName, ...] = ("tensorrt", "tensorrt-lean")


def api_for(spec: EngineSpec) -> TrtApi:
    """Import the package that loads an engine.

    A version-compatible engine takes the lean runtime where TensorRT itself is absent, or is of a version that does not
    take the engine; ``TrtApi.name`` says which it is.

    Args:
        spec: the engine's sidecar.
    Returns:
        The package; where none that is installed fits, the first of them, for ``check_fits`` to refuse.
    Raises:
        EngineError: an openvino engine.
        MissingPackageError: no package for it is installed.
    """
    if spec.backend == "openvino":
        raise EngineError("an openvino engine was given to TensorRT", "open it with the openvino back end")
    if spec.backend == "tensorrt-rtx" or spec.portability.lean == "none":
        return load_api(spec.backend)
    installed, missing = _installed()
    for api in installed:
        if loads_in(spec, api.name, api.version):
            return api
    if not installed:
        raise MissingPackageError(
            f"a version-compatible engine runs with tensorrt or tensorrt-lean: {'; '.join(missing)}",
            "pip install 'edgeseg[tensorrt]', or 'edgeseg[lean]', which is smaller and builds nothing",
        )
    return installed[0]


def _installed() -> tuple[list[TrtApi], list[str]]:
    found, missing = [], []
    for name in RUNTIMES:
        try:
            found.append(load_api(name))
        except MissingPackageError as error:
            missing.append(error.what)
    return found, missing
