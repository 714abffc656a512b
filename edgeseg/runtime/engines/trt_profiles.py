"""Own which of an engine's profiles takes an input of a batch and a size. Ask TensorRT nothing."""

from __future__ import annotations

from edgeseg.errors import EngineError
from edgeseg.runtime.preflight import build_command
from edgeseg.spec import EngineSpec

__all__ = ["Shape", "profile_for"]

Shape = tuple[int, tuple[int, int]]  # batch, (height, width)


def profile_for(spec: EngineSpec, shape: Shape | None = None, *, present: int | None = None) -> int | None:
    """The profile that takes an input; None where the engine has one shape, which it is.

    Args:
        spec: the engine's sidecar.
        shape: of the input; the model's own without it.
        present: the profile to be preferred; else the first that takes it.
    Raises:
        EngineError: the engine does not take it; with what it takes.
    """
    image = spec.model.input
    own = (image.shape[0], image.size_hw)
    batch, size_hw = own if shape is None else shape
    if not spec.profiles:
        if (batch, size_hw) == own:
            return None
        raise _not_taken(spec, (batch, size_hw), f"the engine takes {(own[0], *own[1])} alone")
    taking = [index for index, profile in enumerate(spec.profiles) if profile.takes(batch, size_hw)]
    if not taking:
        taken = ", ".join(f"{one.minimum} to {one.maximum}{_steps(one.step_hw)}" for one in spec.profiles)
        raise _not_taken(spec, (batch, size_hw), f"the profiles take {taken}")
    return present if present in taking else taking[0]


def _steps(step_hw: tuple[int, int]) -> str:
    return "" if step_hw == (1, 1) else f" in steps of {step_hw[0]}x{step_hw[1]}"


def _not_taken(spec: EngineSpec, shape: Shape, taken: str) -> EngineError:
    batch, (height, width) = shape
    return EngineError(
        f"input '{spec.model.input.name}' is {(batch, height, width)} (batch, height, width), {taken}",
        f"build it for that shape with {build_command(spec, '--min-shapes', '...', '--max-shapes', '...')}",
    )
