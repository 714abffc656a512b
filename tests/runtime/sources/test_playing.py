from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import SourceError
from edgeseg.imaging.images import write_png
from edgeseg.runtime.sources import SourceOptions, open_source


@pytest.mark.parametrize("options", [SourceOptions(is_paced=True), SourceOptions(repeat=2)], ids=["paced", "repeated"])
def test_what_is_no_video_file_is_neither_paced_nor_repeated(options: SourceOptions, tmp_path: Path) -> None:
    write_png(tmp_path / "0.png", np.zeros((4, 4), np.uint8))
    for name in (str(tmp_path), "test://?size=64x48&fps=50", "raw://?size=4x4&format=BGR", "shm://nobody", "77"):
        with pytest.raises(SourceError, match="is no video file, and is neither paced nor repeated"):
            open_source(name, options)


def test_a_streams_password_is_in_no_error() -> None:
    with pytest.raises(SourceError) as caught:
        open_source("rtsp://me:secret@127.0.0.1:9/live")
    assert "rtsp://***@127.0.0.1:9/live" in str(caught.value) and "secret" not in str(caught.value)
