"""Own the exchange of an engine's weights. Parse no ONNX."""

from __future__ import annotations

from typing import Any

import onnx

from trt_standin.bound import Bound
from trt_standin.engine import ICudaEngine
from trt_standin.logs import ILogger, derived, error

__all__ = ["Refitter"]


class Refitter(Bound):
    def __init__(self, engine: ICudaEngine, logger: ILogger) -> None:
        self._engine, self._logger = engine, derived(logger, ILogger)
        self._given: dict[str, Any] = {}
        if not engine.refittable:
            error(self._logger, "createInferRefitter: Error Code 3: API Usage Error (the engine is not refittable)")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    @property
    def logger(self) -> ILogger:
        return self._logger

    def _dims(self) -> dict[str, list[int]]:
        model = onnx.ModelProto.FromString(self._engine._onnx)
        return {one.name: list(one.dims) for one in model.graph.initializer}

    def get_all_weights(self) -> list[str]:
        return list(self._dims())

    def get_missing_weights(self) -> list[str]:
        return sorted(self._engine._missing - set(self._given))

    def refit_cuda_engine(self) -> bool:
        if self.get_missing_weights():
            error(self._logger, f"refitCudaEngine: Error Code 4: (missing weights: {self.get_missing_weights()})")
            return False
        return self._refit()

    def refit_cuda_engine_async(self, stream_handle: int) -> bool:
        return self.refit_cuda_engine()

    def _refit(self) -> bool:
        model = onnx.ModelProto.FromString(self._engine._onnx)
        for one in model.graph.initializer:
            if one.name in self._given:
                one.CopyFrom(self._given[one.name])
        self._engine._onnx = model.SerializeToString()
        self._engine._missing -= set(self._given)
        self._given.clear()
        return True
