from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.errors import OptionsError, SourceError
from edgeseg.runtime.sources import ImageFolder, SourceOptions, open_source
from edgeseg.runtime.sources.synthetic import SyntheticSource


def test_an_unknown_scheme_is_refused_with_what_there_is() -> None:
    with pytest.raises(SourceError, match=r"gopher://, which is unknown.*rtsp://.*test://"):
        open_source("gopher://x")


def test_the_query_goes_before_the_options() -> None:
    asked = SourceOptions(size_wh=(64, 48), fps=5)
    with open_source("TEST://?size=32x16&frames=3&format=nv12", asked) as source:
        assert isinstance(source, SyntheticSource)
        assert (source.size_wh, source.fps, source.length) == ((32, 16), 5, 3)
        assert source.form.pixel_format == "NV12"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test://?size=640", "write it as 640x480"),
        ("test://?size=0x480", "write it as 640x480"),
        ("test://?fps=-1", "above 0"),
        ("test://?fps=nan", "above 0"),
        ("test://?frames=many", "above 0"),
        ("test://?format=NV21", "NV12"),
        ("test://?sise=640x480", "it may say size, fps, format, frames"),
        ("test://?size=63x48&format=I420", "even sides"),
        ("-", "does not tell the size"),
        ("raw:///nowhere?size=8x8", "cannot be read"),
        ("shm://edgeseg-nobody", "start its writer"),
        ("file:///nowhere.mp4", "cannot be read"),
        ("", "the source has an empty name"),
        ("/dev/v4l/by-id/usb-nobody", "list the cameras"),
        ("/dev/front-camera", "list the cameras"),
    ],
)
def test_a_wrong_address_is_refused_with_the_next_step(name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_source(name)


def test_a_folder_is_one_by_its_address_too(chain_images: Path) -> None:
    with open_source(f"file://{chain_images}") as source:
        assert isinstance(source, ImageFolder)
        assert source.length == 1


@pytest.fixture
def chain_images(tmp_path: Path) -> Path:
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize(
    "wrong",
    [{"size_wh": (0, 4)}, {"fps": 0.0}, {"fps": float("nan")}, {"read_timeout_s": 0.0}, {"repeat": -1}],
)
def test_options_that_nothing_can_give_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        SourceOptions(**wrong)  # type: ignore[arg-type]
