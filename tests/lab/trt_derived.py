"""Own what our classes that TensorRT calls have of its own ones: made of the real bindings, and called. Judge nothing.

    python tests/lab/trt_derived.py MODULE

It runs in a process of its own, beside the bindings that it is for; see trt_releases.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from types import SimpleNamespace
from typing import Any

from edgeseg.builder.backends.tensorrt.monitor import BuildMonitor
from edgeseg.trt_api import LogTail, _make_logger


def main() -> None:
    """Print every method with the number of its parameters, and what came of a call of each."""
    module = importlib.import_module(sys.argv[1])
    tail = LogTail()
    logger = _make_logger(module, tail)
    logger.log(module.ILogger.WARNING, "a warning")
    logger.log(module.ILogger.VERBOSE, "noise")
    logger.log(module.ILogger.ERROR, "an error")
    found = {"ILogger": parameters(logger), "log": [str(tail), tail.warnings]}
    if hasattr(module, "IProgressMonitor"):
        found |= progress(module)
    sys.stdout.write(json.dumps(found))


def progress(module: Any) -> dict[str, Any]:
    """The same of the monitor of a build."""
    steps: list[str] = []
    config = SimpleNamespace(progress_monitor=None)
    BuildMonitor(lambda fraction, step: steps.append(f"{step} {fraction:.2f}")).attach(module, config)
    monitor = config.progress_monitor
    monitor.phase_start("build", None, 2)
    goes_on = monitor.step_complete("build", 0)
    monitor.phase_finish("build")
    return {"IProgressMonitor": parameters(monitor), "steps": steps, "goes on": goes_on}


def parameters(derived: Any) -> dict[str, int]:
    """Of the methods of its own class, without self."""
    own = {name: value for name, value in vars(type(derived)).items() if inspect.isfunction(value)}
    return {name: len(inspect.signature(value).parameters) - 1 for name, value in own.items()}


if __name__ == "__main__":
    main()
