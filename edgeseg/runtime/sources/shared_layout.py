"""Own how frames lie in shared memory: a ring of slots that a C program can write. Open nothing, wait for nothing.

All numbers are little-endian. The file (``/dev/shm/NAME``) begins with a header of 64 bytes:

    offset 0   char[8]   "EDGESEG1"
           8   uint32    slots, 2 or more
           12  uint32    bytes of a slot, its head of 64 included
           16  uint64    frames finished so far; the newest lies in slot (frames - 1) % slots

Slots follow without gaps. A slot begins with a head of 64 bytes, the picture's planes follow as ``picture_view`` takes
them:

    offset 0   uint64    lock: odd while the slot is written, raised by one before and after
           8   uint64    sequence number of the frame in its source
           16  uint64    nanoseconds on CLOCK_MONOTONIC when it was captured; 0: not known
           24  uint32    width
           28  uint32    height
           32  uint32    pitch: bytes from row to row of the first plane
           36  uint32    format: its place in PIXEL_FORMATS (BGR 0, RGB 1, BGRA 2, RGBA 3, GRAY8 4, YUYV 5, UYVY 6,
                         NV12 7, I420 8)
           40  uint32    bit 0: full range; bit 1: BT.709

The writer holds ``flock(LOCK_EX)`` on the file as long as it lives, so a reader can tell a slow writer from a dead one.
It makes the file under another name and renames it, so a reader sees a whole header.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgeseg.errors import SourceError
from edgeseg.imaging.formats import PIXEL_FORMATS, FrameForm

__all__ = ["HEADER", "HEAD_BYTES", "MAGIC", "SLOT", "Slot", "read_slot", "slot_words"]

MAGIC = b"EDGESEG1"
HEAD_BYTES = 64  # of the file and of a slot: a cache line each
HEADER = struct.Struct("<8sIIQ")
SLOT = struct.Struct("<QQQIIIII")
FULL_RANGE, BT_709 = 1, 2


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The head of a slot."""

    lock: int
    sequence: int
    captured_ns: int
    size_wh: tuple[int, int]
    pitch: int
    form: FrameForm


def read_slot(name: str, head: bytes) -> Slot:
    """Take a slot's head apart.

    Raises:
        SourceError: its format is none.
    """
    lock, sequence, captured_ns, width, height, pitch, number, flags = SLOT.unpack(head[: SLOT.size])
    if number >= len(PIXEL_FORMATS):
        raise SourceError(f"{name} holds a frame of format {number}", f"0 to {len(PIXEL_FORMATS) - 1} are known")
    form = FrameForm(
        pixel_format=PIXEL_FORMATS[number],
        colour_matrix="BT.709" if flags & BT_709 else "BT.601",
        is_full_range=bool(flags & FULL_RANGE),
    )
    return Slot(lock=lock, sequence=sequence, captured_ns=captured_ns, size_wh=(width, height), pitch=pitch, form=form)


def slot_words(slot: Slot) -> bytes:
    """A slot's head as it lies in memory."""
    flags = FULL_RANGE * slot.form.is_full_range | BT_709 * (slot.form.colour_matrix == "BT.709")
    number = PIXEL_FORMATS.index(slot.form.pixel_format)
    return SLOT.pack(slot.lock, slot.sequence, slot.captured_ns, *slot.size_wh, slot.pitch, number, flags)
