"""Own the way from sources through a session to sinks. Open no source, know no engine."""

from edgeseg.runtime.loop.options import LoopOptions, Opening, Policy
from edgeseg.runtime.loop.reloading import ReloadRequest
from edgeseg.runtime.loop.running import run_sources
from edgeseg.runtime.loop.snapshot import SinkSnapshot, Snapshot, SourceSnapshot
from edgeseg.runtime.loop.state import Event, LoopState

__all__ = [
    "Event",
    "LoopOptions",
    "LoopState",
    "Opening",
    "Policy",
    "ReloadRequest",
    "SinkSnapshot",
    "Snapshot",
    "SourceSnapshot",
    "run_sources",
]
