"""Own the words between a build's two processes: what to build, and what came of it. Do neither."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgeseg.builder.backends.base import OptionValue
from edgeseg.builder.backends.tensorrt.options import TensorRTOptions
from edgeseg.spec import DlaShare, PrecisionKind, ProfileSpec
from edgeseg.trt_api import TensorRTName

__all__ = ["Done", "Event", "Failed", "Job", "Reached", "decoded", "encoded", "event_of"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one child process builds; ``parent`` is the process that waits for it."""

    name: TensorRTName
    onnx_path: Path
    plan_path: Path
    precision: PrecisionKind
    profiles: tuple[ProfileSpec, ...]
    options: TensorRTOptions
    parent: int


class Reached(msgspec.Struct, frozen=True, tag="reached"):
    """How far the build is, from 0 to 1, and the name of the step."""

    fraction: float
    step: str


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The plan is written; see Built."""

    device: str
    compute_capability: str | None
    options: dict[str, OptionValue]
    dla: DlaShare | None = None
    notes: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The build was refused or failed; ``kind`` is the class of the error."""

    kind: Literal["BuildError", "OptionsError", "OutputError", "MissingPackageError", "EngineError"]
    what: str
    hint: str


Event = Reached | Done | Failed


def encoded(value: Job | Event) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(value, enc_hook=str) + b"\n"


def decoded(line: bytes) -> Job:
    """The job of a line."""
    return msgspec.json.decode(line, type=Job, dec_hook=_path)


def event_of(line: bytes) -> Event:
    """The event of a line."""
    event: Event = msgspec.json.decode(line, type=Event)
    return event


def _path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
