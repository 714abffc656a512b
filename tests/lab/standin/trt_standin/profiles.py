"""Own optimisation profiles as the builder checks them. Run nothing."""

from __future__ import annotations

from typing import Any

from trt_standin.bound import Bound, Dims
from trt_standin.logs import ILogger, error

__all__ = ["IOptimizationProfile", "misfit"]

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


class IOptimizationProfile(Bound):
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        self._shapes: dict[str, Shapes] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002  the bindings' names
        self._shapes[input] = (tuple(min), tuple(opt), tuple(max))

    def get_shape(self, input: str) -> list[Dims]:  # noqa: A002
        if input not in self._shapes:
            error(
                self._logger, f"IOptimizationProfile::getDimensions: Error Code 4: (Cannot get dimensions for {input})"
            )
        return [Dims(one) for one in self._shapes.get(input, ())]

    def __bool__(self) -> bool:
        for name, shapes in self._shapes.items():
            sides = list(zip(*shapes, strict=False))
            is_ordered = all(0 <= low <= middle <= high for low, middle, high in sides)
            if len({len(one) for one in shapes}) != 1 or not is_ordered:
                error(
                    self._logger,
                    "IOptimizationProfile::isValid: Error Code 4: API Usage Error (Invalid optimization profiles "
                    f"for input tensors {name}, please ensure that the optimization profiles satisfy MIN<=OPT<=MAX.)",
                )
                return False
        return True


def misfit(profile: IOptimizationProfile, inputs: list[Any]) -> str:
    """What keeps a profile from fitting a network's inputs; empty where nothing does."""
    for tensor in inputs:
        shape = tuple(tensor.shape)
        shapes = profile._shapes.get(tensor.name)
        if shapes is None and -1 in shape:
            return f"{tensor.name}: dynamic input is missing dimensions in profile 0."
        for one in shapes or ():
            if len(one) != len(shape) or any(side not in (-1, given) for side, given in zip(shape, one, strict=True)):
                return f"{tensor.name}: for dimension number 1 in profile 0 does not match network definition."
    return ""
