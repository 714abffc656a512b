"""Own the file of tactic timings that builds share: found by version and device, merged under a lock. Time nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgeseg.errors import BuildError
from edgeseg.files import locked, output_errors, sha256_of, write_atomically
from edgeseg.trt_api import DriverState, TrtApi
from edgeseg.trt_types import IBuilderConfig, ITimingCache

__all__ = ["TimingCacheFile"]

OTHER_FOLDER = "give --timing-cache another folder, or leave it out"


class TimingCacheFile:
    """One file of a folder; TensorRT's own bytes, so that trtexec takes it too, with their hash beside it.

    Args:
        folder: made if it is not there.
        api: its name and version are in the file's name: timings of another version are none.
        driver: its device's name and compute capability are in the file's name too.
        note: told of a file that was set aside.
    """

    def __init__(self, folder: Path, api: TrtApi, driver: DriverState, *, note: Callable[[str], None]) -> None:
        device = (
            re.sub(r"[^A-Za-z0-9.]+", "-", f"{driver.device_name}-sm{driver.compute_capability}").strip("-").lower()
        )
        self.path = folder / f"{api.name}-{api.version}-{device}.timing"
        self._hash_path = self.path.with_suffix(".timing.sha256")
        self._api = api
        self._note = note

    def attach(self, config: IBuilderConfig) -> None:
        """Give a builder what the file knows; a damaged file, or one that it refuses, is set aside.

        Raises:
            OutputError: the folder cannot be written.
            BuildError: the builder takes no timing cache, not even an empty one.
        """
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path):
            data = self._read()
            refusal = self._refusal(config, data) if data else ""
            if refusal:
                self._set_aside(f"{self._api.name} refuses it ({refusal})")
        if (refusal or not data) and (refusal := self._refusal(config, b"")):
            raise BuildError(f"{self._api.name} takes no timing cache ({refusal})", "leave --timing-cache out")

    def merge(self, config: IBuilderConfig) -> None:
        """Write what a finished build has measured; what other builds wrote meanwhile stays.

        Raises:
            OutputError: the folder cannot be written.
        """
        found: ITimingCache = config.get_timing_cache()
        with locked(self.path):
            data = self._read()
            if data:
                with self._api.log.overheard() as said:
                    others: ITimingCache = config.create_timing_cache(data)
                    is_merged = found.combine(others, False)
                if not is_merged:
                    self._set_aside(f"{self._api.name} cannot merge it ({said})")
            merged = bytes(memoryview(found.serialize()))
            write_atomically(self.path, merged)
            write_atomically(self._hash_path, sha256_of(merged))

    def _refusal(self, config: IBuilderConfig, data: bytes) -> str:
        """Give ``data`` to the builder; what it says against that, if only a warning that it begins an empty one."""
        with self._api.log.overheard() as said:
            cache: ITimingCache | None = config.create_timing_cache(data)
            is_set = cache is not None and config.set_timing_cache(cache, False)
        return "" if is_set and not said.errors and not said.warnings else str(said)

    def _read(self) -> bytes:
        """The file's bytes; empty where there is none or it was damaged, which sets it aside."""
        if not self.path.exists():
            return b""
        data = self.path.read_bytes()
        recorded = self._hash_path.read_text() if self._hash_path.exists() else ""
        if recorded == sha256_of(data):
            return data
        self._set_aside("it is damaged: its hash is not the recorded one")
        return b""

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_suffix(".timing.damaged")
        self.path.replace(aside)
        self._hash_path.unlink(missing_ok=True)
        self._note(f"timing cache {self.path} was set aside as {aside.name}, and a new one begun: {reason}")
