"""Own timing caches: bytes for one release and device that can be merged. Time nothing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from trt_standin.bound import Bound, host_memory
from trt_standin.logs import ILogger, warning
from trt_standin.releases import VERSION, setting

__all__ = ["ITimingCache", "read_cache"]

MAGIC = b"standin timing\0"
HASH_BYTES = 32


def here() -> str:
    """For whom the times hold."""
    return f"{VERSION} {setting('DEVICE', 'Orin')} {setting('CC', '8.7')}"


class ITimingCache(Bound):
    def __init__(self, logger: ILogger, header: str, times_ms: dict[str, float]) -> None:
        self._logger, self._header, self._times_ms = logger, header, times_ms

    def serialize(self) -> Any:
        body = json.dumps({"for": self._header, "times": self._times_ms}).encode()
        return host_memory(MAGIC + hashlib.sha256(body).digest() + body)

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if input_cache._header != self._header and not ignore_mismatch:
            warning(self._logger, "Timing cache verification header mismatch; the caches are not combined.")
            return False
        self._times_ms = input_cache._times_ms | self._times_ms
        return True

    def reset(self) -> bool:
        self._times_ms = {}
        return True


def read_cache(logger: ILogger, data: bytes) -> ITimingCache:
    """A cache out of bytes; a damaged one gives an empty one and two warnings, as measured with tensorrt_rtx 1.7.1."""
    if not data:
        return ITimingCache(logger, here(), {})
    digest, body = data[len(MAGIC) : len(MAGIC) + HASH_BYTES], data[len(MAGIC) + HASH_BYTES :]
    if data[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != digest:
        warning(logger, "The timing cache will not be used!")
        warning(logger, "Failed to deserialize timing cache. Returning an empty timing cache.")
        return ITimingCache(logger, here(), {})
    found = json.loads(body)
    return ITimingCache(logger, found["for"], found["times"])
