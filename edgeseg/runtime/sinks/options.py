"""Own what is asked of every sink alike. Open none."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseg.errors import OptionsError

__all__ = ["PLAIN", "SinkOptions"]


@dataclass(frozen=True, kw_only=True)
class SinkOptions:
    """What is asked of the sinks of one run.

    Attributes:
        is_live: the frames come from a camera or a stream. Files then grow under their own name, are whole up to the
            last second whenever the process is killed, keep the frames' own times, and never replace an older
            recording. Without it a file has a fixed rate and appears when it is whole.
        segment_s: begin another file when one is that long; None never does.
        segment_bytes: begin another file when one is that large; None never does.
        keep_parts: leave so many files of a recording, the one that is written among them; None deletes nothing.
        keep_bytes: leave so many bytes of a recording's files beside the one that is written; None deletes nothing.
            Both delete the oldest, earlier runs' among them, when a file gets its first frame.
    """

    is_live: bool = False
    segment_s: float | None = None
    segment_bytes: int | None = None
    keep_parts: int | None = None
    keep_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.segment_s is not None and not self.segment_s > 0:
            raise OptionsError(f"segments are {self.segment_s} s long", "give a length above 0")
        if self.segment_bytes is not None and self.segment_bytes < 1:
            raise OptionsError(f"segments are {self.segment_bytes} bytes large", "give 1 or more")
        self._check_keep()

    @property
    def has_parts(self) -> bool:
        """Whether a recording is more than one file."""
        return self.segment_s is not None or self.segment_bytes is not None

    def ends_part(self, *, seconds: float, written_bytes: int) -> bool:
        """Whether a file that is so long and so large gets no more frames."""
        is_long = self.segment_s is not None and seconds >= self.segment_s
        return is_long or (self.segment_bytes is not None and written_bytes >= self.segment_bytes)

    def _check_keep(self) -> None:
        for name, value in (("files", self.keep_parts), ("bytes", self.keep_bytes)):
            if value is not None and value < 1:
                raise OptionsError(f"{value} {name} of a recording are to be kept", "give 1 or more")
            if value is not None and not self.has_parts:
                raise OptionsError(
                    f"{value} {name} of a recording are to be kept, and it is one file without end",
                    "say when another begins: --segment 10m, or segment_bytes",
                )


PLAIN = SinkOptions()
