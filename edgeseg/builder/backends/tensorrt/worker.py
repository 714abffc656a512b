"""Own the child process that builds one plan: TensorRT's calls in their order, and every word of it to the parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgeseg.builder.backends.tensorrt.configuring import configure, used_options
from edgeseg.builder.backends.tensorrt.dla import share_words, use_dla
from edgeseg.builder.backends.tensorrt.job import Done, Event, Failed, Job, Reached, decoded, encoded
from edgeseg.builder.backends.tensorrt.monitor import BuildMonitor
from edgeseg.builder.backends.tensorrt.network import make_builder, parse, refuse_deadly, typing_flags
from edgeseg.builder.backends.tensorrt.targets import Target, target_of
from edgeseg.builder.backends.tensorrt.timing_cache import TimingCacheFile
from edgeseg.builder.backends.tensorrt.typing_fallback import is_fallback_offered, set_flags
from edgeseg.errors import BuildError, EdgesegError
from edgeseg.spec import DlaShare
from edgeseg.trt_api import DriverState, TrtApi, driver_state, load_api
from edgeseg.trt_types import Builder, IBuilderConfig

__all__ = ["main"]

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG in linux/prctl.h
OTHER_GRAPH = "try another precision, more --workspace or --backend openvino"


class Build:
    """One build: its library, its job and what is to be told of it."""

    def __init__(self, job: Job, monitor: BuildMonitor) -> None:
        self.job = job
        self.api: TrtApi = load_api(job.name)
        self.driver: DriverState = driver_state()
        self.target: Target = target_of(self.api, self.driver, job.precision, job.options.targets)
        self.notes: list[str] = []
        self._monitor = monitor

    def run(self) -> Done:
        """Build, strongly typed; where that fails and the version has it, by the builder's own precision flags."""
        try:
            return self._built(is_strong=True)
        except BuildError as error:
            if not is_fallback_offered(self.api):
                raise
            try:
                done = self._built(is_strong=False)
            except BuildError:
                raise error from None  # the graph's own fault: its first reason is the better one
            self.notes.append(
                f"strong typing failed ({error.what}); built by the builder's precision flags instead, which may "
                "choose other types than the graph's"
            )
            return msgspec.structs.replace(done, notes=tuple(self.notes))

    def _built(self, *, is_strong: bool) -> Done:
        api, job = self.api, self.job
        api.log.clear()
        self.notes.clear()
        builder: Builder = make_builder(api)
        network = builder.create_network(typing_flags(api, is_strong=is_strong))
        parser = parse(api, network, job.onnx_path)
        if job.name == "tensorrt-rtx" and not self.target.is_here:
            refuse_deadly(job.onnx_path)
        self._refuse_int8(builder)
        config: IBuilderConfig = configure(api, builder, network, job.options, self.target, job.profiles)
        flags = () if is_strong else set_flags(api, config, job.precision)
        dla: DlaShare | None = None
        if job.options.dla_core is not None:
            dla = use_dla(api, builder, network, config, job.options, job.onnx_path)
            self.notes.append(share_words(dla))
        cache = self._cache(config)
        self._monitor.attach(api.module, config)
        plan = builder.build_serialized_network(network, config)
        del parser
        if plan is None:
            raise BuildError(f"{api.name} {api.version} built no plan ({api.log})", OTHER_GRAPH)
        job.plan_path.write_bytes(memoryview(plan))
        if cache is not None:
            cache.merge(config)
        if api.log.warnings:
            self.notes.append(f"{api.name} warned {api.log.warnings} times, at last: {api.log.last_warning}")
        options = used_options(api, config, job.options, self.target)
        options["typing"] = "strong" if is_strong else f"builder flags {', '.join(flags) or 'none'}"
        return Done(
            device=self.target.device,
            compute_capability=self.target.compute_capability,
            options=options,
            dla=dla,
            notes=tuple(self.notes),
        )

    def _cache(self, config: IBuilderConfig) -> TimingCacheFile | None:
        folder = self.job.options.timing_cache
        if folder is None:
            return None
        cache = TimingCacheFile(folder, self.api, self.driver, note=self.notes.append)
        cache.attach(config)
        return cache

    def _refuse_int8(self, builder: Builder) -> None:
        """TensorRT 10 knows whether the device has INT8 products; 11 runs on none that has not."""
        if (
            self.job.precision != "int8"
            or self.job.name != "tensorrt"
            or not hasattr(builder, "platform_has_fast_int8")
        ):
            return
        if not builder.platform_has_fast_int8:
            raise BuildError(f"{self.driver.device_name} has no INT8 products", "take fp16")


def main() -> None:
    """Read a job from standard input, write events to the pipe whose number is the first argument."""
    job = decoded(sys.stdin.buffer.readline())
    _die_with(job.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and kills
    with os.fdopen(int(sys.argv[1]), "wb", buffering=0) as pipe:
        _tell(pipe, _outcome(job, pipe))


def _outcome(job: Job, pipe: BinaryIO) -> Event:
    try:
        return Build(job, BuildMonitor(lambda fraction, step: _tell(pipe, Reached(fraction, step)))).run()
    except EdgesegError as error:
        return Failed(type(error).__name__, error.what, error.hint)  # type: ignore[arg-type]  # decoding checks it
    except OSError as error:
        place = Path(error.filename or job.plan_path)
        return Failed(
            "OutputError", f"{place} cannot be written ({error.strerror})", "free space or choose another place"
        )


def _tell(pipe: BinaryIO, event: Event) -> None:
    pipe.write(encoded(event))


def _die_with(parent: int) -> None:
    """A builder whose parent was killed would keep the GPU for minutes."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the call
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
