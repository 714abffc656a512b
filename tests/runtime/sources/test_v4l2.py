"""The camera source against a fake driver, and our structures against the kernel's header."""

from __future__ import annotations

import ctypes
import errno
import mmap
import re
import shutil
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from v4l2_lab import ERROR, MONOTONIC, FakeCamera, Shot

from edgeseg.errors import SourceError
from edgeseg.imaging.formats import planes_of
from edgeseg.runtime.sources import SourceOptions, open_source, v4l2_api
from edgeseg.runtime.sources.v4l2 import V4l2Source
from edgeseg.runtime.sources.v4l2_modes import list_modes

WEBCAM: dict[bytes, Any] = {
    b"YUYV": [(640, 480, [(1, 30), (1, 15)]), (1280, 720, [(1, 10)])],
    b"MJPG": [(640, 480, [(1, 60), (1, 30)]), (1280, 720, [(1, 30)])],
    b"H264": [(1920, 1080, [(1, 30)])],
}
SMALL: dict[bytes, Any] = {b"YUYV": [(8, 4, [(1, 30)])]}
IMPATIENT = SourceOptions(read_timeout_s=0.2)

NAMES = {
    v4l2_api.Capability: "v4l2_capability", v4l2_api.FormatDescription: "v4l2_fmtdesc",
    v4l2_api.FrameSize: "v4l2_frmsizeenum", v4l2_api.FrameInterval: "v4l2_frmivalenum", v4l2_api.Format: "v4l2_format",
    v4l2_api.PixFormat: "v4l2_pix_format", v4l2_api.StreamParameters: "v4l2_streamparm",
    v4l2_api.RequestBuffers: "v4l2_requestbuffers", v4l2_api.Buffer: "v4l2_buffer",
}  # fmt: skip
MEMBERS = {
    "of": "discrete", "timeperframe": "parm.capture.timeperframe", "capturemode": "parm.capture.capturemode",
    "capability": "parm.capture.capability",
}  # fmt: skip
REQUESTS = (
    "QUERYCAP", "ENUM_FMT", "ENUM_FRAMESIZES", "ENUM_FRAMEINTERVALS", "G_FMT", "S_FMT", "S_PARM", "REQBUFS", "QUERYBUF",
    "QBUF", "DQBUF", "STREAMON", "STREAMOFF",
)  # fmt: skip
CONSTANTS = {
    "CAPTURE": "V4L2_BUF_TYPE_VIDEO_CAPTURE", "MMAP": "V4L2_MEMORY_MMAP", "DISCRETE": "V4L2_FRMSIZE_TYPE_DISCRETE",
    "CAP_VIDEO_CAPTURE": "V4L2_CAP_VIDEO_CAPTURE", "CAP_STREAMING": "V4L2_CAP_STREAMING",
    "CAP_DEVICE_CAPS": "V4L2_CAP_DEVICE_CAPS", "BUF_FLAG_ERROR": "V4L2_BUF_FLAG_ERROR",
    "BUF_FLAG_TIMESTAMP_MASK": "V4L2_BUF_FLAG_TIMESTAMP_MASK", "FMT_FLAG_EMULATED": "V4L2_FMT_FLAG_EMULATED",
    "BUF_FLAG_TIMESTAMP_MONOTONIC": "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC",
}  # fmt: skip


@pytest.mark.skipif(
    shutil.which("gcc") is None or not Path("/usr/include/linux/videodev2.h").exists(), reason="gcc or kernel headers"
)
def test_structures_and_numbers_are_those_of_the_kernels_header(tmp_path: Path) -> None:
    ours: dict[str, int] = {}
    lines = []
    for kind, name in NAMES.items():
        ours[name] = ctypes.sizeof(kind)
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        for member in (one[0] for one in kind._fields_):
            path = MEMBERS.get(member, member)
            if member not in ("room", "priv"):
                ours[f"{name}.{member}"] = getattr(kind, member).offset
                lines.append(f'printf("{name}.{member} %zu\\n", offsetof(struct {name}, {path}));')
    for name in REQUESTS:
        ours[name] = getattr(v4l2_api, name)
        lines.append(f'printf("{name} %lu\\n", (unsigned long)VIDIOC_{name});')
    for name, theirs in CONSTANTS.items():
        ours[name] = getattr(v4l2_api, name)
        lines.append(f'printf("{name} %lu\\n", (unsigned long)(unsigned){theirs});')
    program = "#include <stdio.h>\n#include <stddef.h>\n#include <linux/videodev2.h>\nint main(void) {\n"
    (tmp_path / "a.c").write_text(program + "\n".join(lines) + "\n}\n")
    subprocess.run(["gcc", "-o", tmp_path / "a", tmp_path / "a.c"], check=True)
    told = subprocess.run([tmp_path / "a"], capture_output=True, text=True, check=True).stdout
    assert ours == {name: int(value) for name, value in re.findall(r"(\S+) (\d+)\n", told)}
    assert len(ours) > 80


def test_everything_that_the_camera_offers_is_listed() -> None:
    assert [str(mode) for mode in list_modes(FakeCamera(WEBCAM))] == [
        "YUYV 640x480 at 30, 15", "YUYV 1280x720 at 10", "MJPG 640x480 at 60, 30", "MJPG 1280x720 at 30",
        "H264 1920x1080 at 30",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "taken", "fps"),
    [
        (SourceOptions(), (640, 480, b"YUYV"), 30),
        (SourceOptions(fps=60), (640, 480, b"MJPG"), 60),
        (SourceOptions(size_wh=(1280, 720)), (1280, 720, b"MJPG"), 30),
        (SourceOptions(size_wh=(1280, 720), pixel_format="YUYV"), (1280, 720, b"YUYV"), 10),
        (SourceOptions(size_wh=(1280, 720), fps=10), (1280, 720, b"YUYV"), 10),
    ],
)
def test_raw_is_taken_where_it_is_fast_enough(options: SourceOptions, taken: tuple[int, int, bytes], fps: int) -> None:
    pytest.importorskip("av")
    camera = FakeCamera(WEBCAM)
    with V4l2Source("cam", camera, options) as source:
        assert camera.current == taken
        assert source.fps == fps
    assert camera.fps == (1000, fps * 1000)


@pytest.mark.parametrize(
    "options", [SourceOptions(size_wh=(800, 600)), SourceOptions(fps=90), SourceOptions(pixel_format="NV12")]
)
def test_what_is_not_offered_is_refused_with_what_is(options: SourceOptions) -> None:
    camera = FakeCamera(WEBCAM)
    with pytest.raises(SourceError, match=r"does not offer.*it offers YUYV 640x480 at 30, 15; .*MJPG 1280x720 at 30"):
        V4l2Source("cam", camera, options)
    assert camera.is_closed


def test_a_range_of_sizes_is_understood() -> None:
    camera = FakeCamera({b"NV12": [(1920, 1080, [(1, 60)])]}, stepwise=(64, 1920, 16, 64, 1080, 8))
    assert str(list_modes(camera)[0]) == "NV12 64x64 to 1920x1080 at 60"
    with V4l2Source("cam", camera, SourceOptions(size_wh=(320, 240))):
        assert camera.current == (320, 240, b"NV12")
    with pytest.raises(SourceError, match="does not offer"):
        V4l2Source("cam", FakeCamera(camera.modes, stepwise=camera.stepwise), SourceOptions(size_wh=(321, 240)))


def test_a_driver_that_takes_another_size_is_told_so() -> None:
    camera = FakeCamera(SMALL, sets_another_size=(16, 16))
    with pytest.raises(SourceError, match=r"gives YUYV 16x16 where YUYV 8x4 was asked for"):
        V4l2Source("cam", camera, SourceOptions(size_wh=(8, 4)))
    assert camera.is_closed


def test_frames_come_with_the_drivers_pitch_number_and_time() -> None:
    data = bytes(range(4 * 24))
    camera = FakeCamera(SMALL, deque([Shot(data, 5), Shot(data, 8, stamp=(2, 0))]), layout=(24, 96, 7, 0, 0))
    with V4l2Source("cam", camera, IMPATIENT) as source:
        frames = []
        with pytest.raises(SourceError, match=r"stopped after 2 frames \(nothing whole came for 0.2 s\)"):
            frames.extend(source)
    assert [(frame.sequence, frame.captured_s) for frame in frames] == [(5, 1.5), (8, 2.0)]
    expected = np.frombuffer(data, np.uint8).reshape(4, 24)[:, :16].reshape(4, 8, 2)
    for frame in frames:  # also when the driver has filled the buffer anew
        np.testing.assert_array_equal(planes_of(frame.picture, "YUYV")[0], expected)
        assert (frame.form.pixel_format, frame.form.is_full_range) == ("YUYV", True)
    assert camera.log == ["on", "off", *["unmap"] * 4]
    assert camera.is_closed


@pytest.mark.parametrize(
    ("layout", "matrix", "is_full"),
    [
        ((0, 0, 8, 0, 0), "BT.601", False), ((0, 0, 3, 0, 0), "BT.709", False), ((0, 0, 8, 2, 1), "BT.709", True),
        ((0, 0, 3, 1, 0), "BT.601", False), ((0, 0, 7, 0, 2), "BT.601", False),
    ],
)  # fmt: skip
def test_colours_are_the_drivers_or_the_kernels_defaults(layout: Any, matrix: str, is_full: bool) -> None:
    with V4l2Source("cam", FakeCamera(SMALL, layout=layout), IMPATIENT) as source:
        assert (source.form.colour_matrix, source.form.is_full_range) == (matrix, is_full)


def test_a_mapped_buffer_is_copied_from_its_beginning_and_can_be_closed(tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(bytes(mmap.PAGESIZE) + bytes(range(256)) * (mmap.PAGESIZE // 256))
    device = v4l2_api.KernelCamera(tmp_path / "video")
    memory, target = device.map(mmap.PAGESIZE, mmap.PAGESIZE), bytearray(300)
    memory.copy_into(memoryview(target))
    assert (len(memory), bytes(target)) == (mmap.PAGESIZE, bytes(range(256)) + bytes(range(44)))
    memory.close()  # which no view of it may hinder
    device.close()


def test_damaged_and_short_buffers_are_counted_and_left_out() -> None:
    good = bytes(64)
    shots = deque([Shot(good, 0), Shot(good, 1, MONOTONIC | ERROR), Shot(good[:50], 2), errno.EIO, Shot(good, 4)])
    camera = FakeCamera(SMALL, shots, layout=(16, 64, 8, 0, 0))
    with V4l2Source("cam", camera, IMPATIENT) as source:
        frames = []
        with pytest.raises(SourceError, match="stopped after 2 frames"):
            frames.extend(source)
    assert [frame.sequence for frame in frames] == [0, 4]
    assert source.corrupt == 3


def test_times_of_another_clock_are_not_taken() -> None:
    camera = FakeCamera(SMALL, deque([Shot(bytes(64), flags=0), Shot(bytes(64), stamp=(1 << 40, 0))]))
    with V4l2Source("cam", camera, IMPATIENT) as source:
        frames = iter(source)
        assert [next(frames).captured_s for _ in range(2)] == [None, None]


def test_an_unplugged_camera_ends_the_source_and_is_let_go() -> None:
    camera = FakeCamera(SMALL, deque([Shot(bytes(64)), errno.ENODEV]))
    with V4l2Source("cam", camera, IMPATIENT) as source, pytest.raises(SourceError, match="stopped after 1 frames"):
        list(source)
    assert camera.is_closed


def test_closing_from_another_thread_ends_a_waiting_read_and_lets_go_once() -> None:
    camera = FakeCamera(SMALL)
    source = V4l2Source("cam", camera, SourceOptions(read_timeout_s=60))
    given: list[object] = []
    reader = threading.Thread(target=lambda: given.extend(source))
    reader.start()
    source.close()
    source.close()
    reader.join(20)
    assert not reader.is_alive()
    assert (given, camera.is_closed) == ([], True)


def test_jpeg_is_decoded_frame_by_frame_and_damage_is_counted() -> None:
    cv2, _ = pytest.importorskip("cv2"), pytest.importorskip("av")
    picture = np.full((32, 64, 3), (40, 90, 200), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    shots = deque([Shot(jpeg, 0), Shot(b"no picture", 1), Shot(b"", 2), Shot(jpeg, 3)])
    with V4l2Source("cam", FakeCamera({b"MJPG": [(64, 32, [(1, 30)])]}, shots), IMPATIENT) as source:
        frames = iter(source)
        first, last = next(frames), next(frames)
    assert (first.sequence, last.sequence, source.corrupt) == (0, 3, 2)
    assert (first.form.pixel_format, first.form.is_full_range) == ("I420", True)
    assert np.abs(first.bgr.astype(int) - picture).max() <= 4  # JPEG's own loss on one colour


def test_a_device_without_capture_is_refused() -> None:
    camera = FakeCamera(SMALL, capabilities=(0x80000000, 0x00A00000))
    with pytest.raises(SourceError, match="no camera with one plane"):
        V4l2Source("cam", camera, IMPATIENT)
    assert camera.is_closed


@pytest.mark.parametrize("name", ["/dev/null", "v4l2:///dev/null", "v4l2:///dev/nothing", "v4l2://97"])
def test_what_is_no_camera_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(SourceError, match=r"camera \S+ cannot be (set up|opened) \("):
        open_source(name)
