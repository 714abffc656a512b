"""Own what a user calls a source: names to the one that reads them. Read no frame."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from edgeseg.errors import AddressError, SourceError
from edgeseg.runtime.sources.addresses import Address, is_camera_path, parse_address, positive, with_query
from edgeseg.runtime.sources.base import FrameSource, SourceOptions
from edgeseg.runtime.sources.folder import ImageFolder
from edgeseg.runtime.sources.gstreamer import GstreamerSource
from edgeseg.runtime.sources.gstreamer_text import csi_pipeline, given_pipeline
from edgeseg.runtime.sources.opencv import OpenCvCamera
from edgeseg.runtime.sources.raw import RawSource
from edgeseg.runtime.sources.shared import SharedSource
from edgeseg.runtime.sources.synthetic import SyntheticSource
from edgeseg.runtime.sources.v4l2 import open_camera
from edgeseg.runtime.sources.video import VideoFile, VideoStream

__all__ = ["can_be_played", "file_of", "open_source"]

STREAMS = ("rtsp", "rtsps", "http", "https", "udp")
WHAT_THERE_IS = (
    "give a video file, a folder of images, a camera index, - for raw frames from stdin, or an address that begins "
    "with file://, rtsp://, rtsps://, http://, https://, udp://, v4l2://, csi://, gst://, opencv://, raw://, shm:// or "
    "test://"
)
DEFAULTS = SourceOptions()


def open_source(name: str, options: SourceOptions = DEFAULTS) -> FrameSource:
    """Open what a user calls a source.

    Args:
        name: a path, a camera index, or an address; docs/run.md lists them.
        options: what is asked of it; a source refuses what it cannot give.
    Raises:
        SourceError: there is no such thing, or it holds no frames.
        AddressError: its name means nothing, whatever there is.
        MissingPackageError: the package that reads it is not installed.
    """
    if not name.strip():
        raise AddressError("the source has an empty name", WHAT_THERE_IS)
    address = parse_address(name)
    if not can_be_played(name):
        _refuse_playing(name, options)
    if options.pipeline is not None and address.scheme != "csi":
        raise AddressError(f"{name} takes no pipeline beside its name", "write csi://0, or gst://PIPELINE as the name")
    if name.isdecimal():
        return open_camera(name, Path(f"/dev/video{int(name)}"), options)
    if address.scheme in STREAMS:
        return VideoStream(name, options)
    if is_camera_path(name):
        return open_camera(name, Path(name), options)
    if _is_path(address):
        return _open_path(address, options)
    opener = OPENERS.get(address.scheme)
    if opener is None:
        raise AddressError(f"{name} begins with {address.scheme}://, which is unknown", WHAT_THERE_IS)
    return opener(address, options)


def can_be_played(name: str) -> bool:
    """Whether a source may be a video file, which alone can be paced and repeated; it need not be there.

    Example:
        >>> can_be_played("clip.mp4"), can_be_played("rtsp://camera/1"), can_be_played("-")
        (True, False, False)
    """
    address = parse_address(name)
    if not _is_path(address) or is_camera_path(name):
        return False
    return not _path(address).is_dir() and not _path(address).is_char_device()


def file_of(name: str) -> Path | None:
    """The file or folder that a source reads, there or not; None for one that reads none.

    Example:
        >>> file_of("file:///srv/clip.mp4"), file_of("rtsp://camera/1"), file_of("0")
        (PosixPath('/srv/clip.mp4'), None, None)
    """
    address = parse_address(name)
    return _path(address) if _is_path(address) and not is_camera_path(name) else None


def _open_raw(address: Address, options: SourceOptions) -> FrameSource:
    bare, asked, _ = with_query(address, options)
    return RawSource(address.text, "" if bare.place == "-" else bare.place, asked)


def _open_shared(address: Address, options: SourceOptions) -> FrameSource:
    return SharedSource(address.text, address.place.lstrip("/"), options)


def _open_synthetic(address: Address, options: SourceOptions) -> FrameSource:
    _, asked, others = with_query(address, options, extra=("frames",))
    frames = int(positive(address, "frames", others["frames"])) if "frames" in others else None
    return SyntheticSource(address.text, asked, frames=frames)


def _open_v4l2(address: Address, options: SourceOptions) -> FrameSource:
    bare, asked, _ = with_query(address, options)
    place = bare.place
    return open_camera(address.text, Path(f"/dev/video{int(place)}" if place.isdecimal() else place), asked)


def _open_csi(address: Address, options: SourceOptions) -> FrameSource:
    if options.pipeline is None:
        return GstreamerSource(address.text, csi_pipeline(address, options), options)
    if "?" in address.text:
        raise AddressError(f"{address.text} has a pipeline of its own", "write in it what the words behind ? ask for")
    return GstreamerSource(address.text, given_pipeline(options.pipeline, options), options)


def _open_gstreamer(address: Address, options: SourceOptions) -> FrameSource:
    return GstreamerSource(address.text, given_pipeline(address.place, options), options)


def _open_opencv(address: Address, options: SourceOptions) -> FrameSource:
    if not address.place.isdecimal() or options != DEFAULTS:
        raise AddressError(f"{address.text} is none of OpenCV's cameras", "write opencv://0, without options")
    return OpenCvCamera(address.text, int(address.place))


OPENERS = {
    "": _open_raw, "raw": _open_raw, "shm": _open_shared, "test": _open_synthetic, "v4l2": _open_v4l2,
    "opencv": _open_opencv, "csi": _open_csi, "gst": _open_gstreamer,
}  # fmt: skip


def _is_path(address: Address) -> bool:
    return address.scheme in ("file", "") and address.text.partition("?")[0] != "-" and not address.text.isdecimal()


def _path(address: Address) -> Path:
    return Path(unquote(address.place) if address.scheme else address.place)


def _refuse_playing(name: str, options: SourceOptions) -> None:
    """What only a video file can be asked for."""
    if options.is_paced or options.repeat != 1:
        raise AddressError(f"{name} is no video file, and is neither paced nor repeated", "leave these two out")


def _open_path(address: Address, options: SourceOptions) -> FrameSource:
    path = _path(address)
    if path.is_char_device():
        return open_camera(address.text, path, options)
    if path.is_dir():
        return ImageFolder(path)
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})", WHAT_THERE_IS) from error
    if is_empty:
        raise SourceError(f"{path} is empty (0 bytes)", WHAT_THERE_IS)
    return VideoFile(address.text, path, options)
