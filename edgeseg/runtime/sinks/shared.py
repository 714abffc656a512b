"""Own masks in shared memory, for another process. The layout is runtime/shared_ring.py's."""

from __future__ import annotations

from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.shared_memory import MASK_FORM, SharedWriter
from edgeseg.runtime.sinks.base import MaskSink

__all__ = ["SharedMasks"]


class SharedMasks(MaskSink):
    """The newest mask under a name; ``SharedReader`` reads it, and deploy/read_masks.c shows how C does.

    Args:
        name: letters, digits, ``-`` and ``_``.
    Raises:
        OutputError: another process writes there, or there is no room.
    """

    def __init__(self, name: str) -> None:
        self.name = f"shm://{name}"
        self._writer = SharedWriter(name)

    def write(self, frame: Frame, mask: Mask) -> None:
        self._writer.publish(
            [mask],
            size_wh=(mask.shape[1], mask.shape[0]),
            form=MASK_FORM,
            sequence=frame.sequence,
            arrived_s=frame.arrived_s,
            captured_s=frame.captured_s,
            source=frame.source,
        )

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        self._writer.close()
