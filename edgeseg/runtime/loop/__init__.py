"""Own the way from sources through a session to sinks. Open no source, know no engine."""

from edgeseg.runtime.loop.once import LoopStats, Policy, run_loop

__all__ = ["LoopStats", "Policy", "run_loop"]
