"""Pipelines of a real GStreamer, in its own process: frames as they lie, errors of elements, ends, hangs, closing."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stream_servers import needs_gstreamer

from edgeseg.errors import AddressError, SourceError
from edgeseg.imaging.formats import FrameForm
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources import SourceOptions, open_source
from edgeseg.runtime.sources.addresses import is_live_address, parse_address
from edgeseg.runtime.sources.gstreamer import GstreamerSource
from edgeseg.runtime.sources.gstreamer_frames import Numbers, form_of
from edgeseg.runtime.sources.gstreamer_text import csi_pipeline, given_pipeline

OPTIONS = SourceOptions(open_timeout_s=30.0, read_timeout_s=30.0)  # generous deadlines of a busy machine
RED = "videotestsrc pattern=red num-buffers=3"


def opened(name: str, options: SourceOptions = OPTIONS) -> GstreamerSource:
    source = open_source(name, options)
    assert isinstance(source, GstreamerSource)
    return source


def frames_of(name: str) -> list[Frame]:
    with opened(name) as source:
        return list(source)


def csi(address: str, options: SourceOptions = OPTIONS) -> str:
    return csi_pipeline(parse_address(address), options)


class TestText:
    def test_a_csi_cameras_frames_come_as_nv12_without_a_conversion_on_the_cpu(self) -> None:
        assert csi("csi://1") == (
            "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),format=NV12 ! nvvidconv ! "
            "video/x-raw,format=NV12 ! appsink drop=true max-buffers=1 sync=false"
        )

    def test_what_is_asked_of_a_csi_camera_is_in_its_pipeline(self) -> None:
        text = csi("csi://?size=1280x720&mode=4&flip=2&format=bgra", SourceOptions(fps=30000 / 1001))
        assert text == (
            "nvarguscamerasrc sensor-id=0 sensor-mode=4 ! video/x-raw(memory:NVMM),format=NV12,width=1280,height=720,"
            "framerate=30000/1001 ! nvvidconv flip-method=2 ! video/x-raw,format=BGRx ! "
            "appsink drop=true max-buffers=1 sync=false"
        )

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("csi://front", "number is 'front'.*from 0"),
            ("csi://0?flip=8", "flip is '8'.*from 0 to 7"),
            ("csi://0?mode=-1", "mode is '-1'"),
            ("csi://0?format=RGB", "no RGB comes from nvvidconv.*NV12"),
            ("csi://0?sise=1x1", "it may say size, fps, format, mode, flip"),
            ("gst://  ! ", "pipeline is empty"),
        ],
    )
    def test_a_wrong_address_is_refused_with_the_next_step(self, name: str, words: str) -> None:
        with pytest.raises(AddressError, match=words):
            open_source(name)

    @pytest.mark.parametrize("name", ["gst://videotestsrc", "rtsp://10.0.0.7/live", "0"])
    def test_a_pipeline_is_refused_beside_a_name_that_is_no_csi_camera(self, name: str) -> None:
        with pytest.raises(AddressError, match="takes no pipeline"):
            open_source(name, SourceOptions(pipeline=RED))

    def test_a_form_beside_a_users_pipeline_is_refused(self) -> None:
        with pytest.raises(AddressError, match=r"fps cannot be asked.*framerate=30/1"):
            open_source("gst://videotestsrc", SourceOptions(fps=5))
        with pytest.raises(AddressError, match="pipeline of its own"):
            open_source("csi://0?fps=5", SourceOptions(pipeline=RED))

    def test_a_pipeline_without_an_appsink_gets_one_that_takes_what_is_read(self) -> None:
        options = SourceOptions()
        assert given_pipeline("a ! appsink name=b", options) == "a ! appsink name=b"
        assert given_pipeline(" a ! ", options).startswith('a ! appsink sync=false caps="video/x-raw,format={NV12,')

    @pytest.mark.parametrize(
        ("name", "is_live"),
        [
            ("csi://0", True), ("gst://v4l2src device=/dev/video1 ! videoconvert", True), ("gst://", True),
            ("GST://rtspsrc location=rtsp://10.0.0.7/live ! decodebin", True),
            ("gst://videotestsrc is-live=true ! identity", True),
            ("gst://filesrc location=is-live=true ! decodebin", False), ("gst://videotestsrc ! identity", False),
        ],
    )  # fmt: skip
    def test_a_pipeline_is_live_unless_it_begins_with_a_file(self, name: str, is_live: bool) -> None:
        assert is_live_address(name) == is_live


TOLD = {"format": "NV12", "strides": [4], "matrix": "bt601", "is_full_range": False, "tells_colours": True}


class TestColours:
    @pytest.mark.parametrize(
        ("told", "form"),
        [
            ({}, FrameForm(pixel_format="NV12")),
            ({"matrix": "bt709", "is_full_range": True},
             FrameForm(pixel_format="NV12", colour_matrix="BT.709", is_full_range=True)),
            ({"matrix": "bt2020"}, None),
            ({"matrix": "bt2020", "tells_colours": False}, FrameForm(pixel_format="NV12", colour_matrix="BT.709")),
            ({"format": "BGRx", "matrix": "rgb"}, FrameForm(pixel_format="BGRA")),
            ({"format": "P010_10LE"}, None),
            ({"strides": []}, None),
        ],
    )  # fmt: skip
    def test_caps_tell_range_and_matrix(self, told: dict[str, object], form: FrameForm | None) -> None:
        assert form_of(TOLD | told) == form


class TestNumbers:
    def test_frames_that_were_dropped_use_their_numbers_up_where_offsets_count_frames(self) -> None:
        numbers = Numbers()
        told = [(10, 0), (11, 100_000_000), (14, 400_000_000), (14, 500_000_000), (None, 600_000_000)]
        assert [numbers.next(offset, at, 10.0) for offset, at in told] == [0, 1, 4, 5, 6]

    def test_offsets_that_count_bytes_tell_nothing(self) -> None:
        numbers = Numbers()
        assert [numbers.next(460_800 * at, at * 33_333_333, 30.0) for at in range(3)] == [0, 1, 2]
        assert numbers.next(460_800 * 9, 10**9, 0.0) == 3


@needs_gstreamer
class TestFrames:
    @pytest.mark.parametrize(
        ("caps", "form"),
        [
            ("NV12,width=322,height=242", FrameForm(pixel_format="NV12")),
            ("I420,width=322,height=242", FrameForm(pixel_format="I420")),
            ("NV12,width=1280,height=720", FrameForm(pixel_format="NV12", colour_matrix="BT.709")),
            ("NV12,width=64,height=48,colorimetry=2:4:5:1", FrameForm(pixel_format="NV12")),
            ("YUY2,width=322,height=31", FrameForm(pixel_format="YUYV")),
            ("UYVY,width=322,height=31", FrameForm(pixel_format="UYVY")),
            ("BGR,width=321,height=31", FrameForm(pixel_format="BGR")),
            ("RGB,width=321,height=31", FrameForm(pixel_format="RGB")),
            ("BGRx,width=321,height=31", FrameForm(pixel_format="BGRA")),
            ("RGBA,width=321,height=31", FrameForm(pixel_format="RGBA")),
        ],
    )  # fmt: skip
    def test_a_format_is_read_where_it_lies_in_its_own_colours(self, caps: str, form: FrameForm) -> None:
        """GStreamer begins rows at multiples of four bytes, so these widths leave gaps."""
        frames = frames_of(f"gst://{RED} ! video/x-raw,format={caps}")
        assert [frame.sequence for frame in frames] == [0, 1, 2]
        width, height = (int(word.partition("=")[2]) for word in caps.split(",")[1:3])
        assert (frames[0].form, frames[0].size_hw) == (form, (height, width))
        assert frames[0].captured_s is None  # a file's frames have no such time
        np.testing.assert_allclose(frames[0].bgr, np.broadcast_to([0, 0, 255], (height, width, 3)), atol=3)

    def test_full_range_is_read_as_such(self) -> None:
        caps = "video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=NV12,colorimetry=1:3:5:1"
        frame = frames_of(f"gst://{RED} ! {caps}")[0]
        assert frame.form == FrameForm(pixel_format="NV12", colour_matrix="BT.709", is_full_range=True)
        np.testing.assert_allclose(frame.bgr, np.broadcast_to([0, 0, 255], (240, 320, 3)), atol=3)

    def test_grey_pictures_of_an_odd_width_stay_straight(self) -> None:
        (frame,) = frames_of("gst://videotestsrc pattern=gradient num-buffers=1 ! video/x-raw,format=GRAY8,width=321")
        assert frame.form.pixel_format == "GRAY8"
        assert (np.ptp(frame.picture, axis=1) == 0).all()  # a gradient from top to bottom
        assert np.ptp(frame.picture) > 200

    def test_a_size_change_in_mid_stream_is_followed(self) -> None:
        parts = [f"{RED} ! video/x-raw,format=NV12,width={width},height=48 ! c." for width in (64, 98)]
        frames = frames_of(f"gst://{' '.join(parts)} concat name=c")
        assert [frame.size_hw for frame in frames] == [(48, 64)] * 3 + [(48, 98)] * 3
        assert all(frame.bgr[..., 2].min() > 250 for frame in frames)

    def test_planes_with_room_around_them_are_read(self) -> None:
        """A crop changes offsets and keeps strides: only the buffer's own record tells them."""
        source = "videotestsrc pattern=ball num-buffers=1 ! video/x-raw,format=I420,width=100,height=80"
        (whole,) = frames_of(f"gst://{source}")
        (part,) = frames_of(f"gst://{source} ! videocrop left=8 top=4 right=2")
        assert np.array_equal(part.bgr, whole.bgr[4:, 8:98])

    def test_a_live_pipeline_tells_when_its_frames_were_captured_and_which_were_dropped(self) -> None:
        name = "gst://videotestsrc is-live=true ! video/x-raw,format=NV12,width=64,height=48,framerate=100/1"
        with opened(name) as source:
            assert (source.is_live, source.fps) == (True, 100.0)
            frames, before = iter(source), time.perf_counter()
            first = next(frames)
            time.sleep(0.2)  # frames go by meanwhile, the newest is kept
            second = next(frames)
        assert first.captured_s is not None and second.captured_s is not None
        assert before - 60 < first.captured_s <= first.arrived_s
        assert second.sequence - first.sequence == round((second.captured_s - first.captured_s) * 100) > 1

    def test_frames_of_a_pipeline_that_is_not_live_wait(self) -> None:
        with opened("gst://videotestsrc num-buffers=20 ! video/x-raw,format=GRAY8,width=64,height=48") as source:
            given = [(frame.sequence, time.sleep(0.001)) for frame in source]
            assert not source.is_live
        assert [number for number, _ in given] == list(range(20))

    def test_a_users_appsink_is_taken_as_it_is(self) -> None:
        live = "videotestsrc is-live=true num-buffers=9 ! video/x-raw,format=GRAY8,framerate=200/1"
        with (
            opened(f"gst://{live} ! appsink name=mine sync=false max-buffers=9") as source,
            pytest.raises(SourceError, match=r"stopped after 9 frames \(it came to its end\)"),
        ):
            time.sleep(0.2)
            list(source)

    def test_a_frame_outlives_its_source(self) -> None:
        frames = frames_of(f"gst://{RED} ! video/x-raw,format=RGB,width=64,height=48")
        assert [int(frame.bgr[..., 2].min()) for frame in frames] == [255] * 3


@needs_gstreamer
class TestCsi:
    def test_the_camera_s_own_pipeline_runs_with_its_elements_replaced(self) -> None:
        text = csi("csi://0?size=320x240&fps=20&flip=2")
        for nvidia, there in (
            ("nvarguscamerasrc sensor-id=0", "videotestsrc is-live=true pattern=red"),
            ("(memory:NVMM)", ""),
            ("nvvidconv flip-method=2", "videoflip method=2"),
        ):
            assert nvidia in text
            text = text.replace(nvidia, there)
        options = SourceOptions(open_timeout_s=30.0, read_timeout_s=30.0, pipeline=text)
        with opened("csi://0", options) as source:
            assert (source.pipeline, source.name, source.is_live, source.fps) == (text, "csi://0", True, 20.0)
            (frame,) = itertools.islice(source, 1)
        assert (frame.form.pixel_format, frame.size_hw) == ("NV12", (240, 320))

    def test_without_a_jetson_its_elements_are_named_and_the_pipeline_shown(self) -> None:
        with pytest.raises(SourceError, match=r"csi://0, by the pipeline 'nvarguscamerasrc sensor-id=0 .*JetPack"):
            open_source("csi://0", OPTIONS)


def test_a_machine_without_gstreamer_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeseg.runtime.gstreamer_process._python", lambda: sys.executable)
    with pytest.raises(SourceError, match=r"not there for Python .*apt-get install python3-gi"):
        open_source("csi://0", OPTIONS)


@needs_gstreamer
class TestFailures:
    @pytest.mark.parametrize(
        ("pipeline", "words"),
        [
            ("nosuch", 'no element "nosuch".*gst-inspect-1.0 nosuch'),
            ("videotestsrc ! ( identity", "gives no frame"),
            ("filesrc location=/nowhere ! decodebin", r'filesrc0: .*No such file "/nowhere"'),
            ("videotestsrc num-buffers=0", "gives no frame.*(ended without a frame|came to its end)"),  # caps may come
            ("videotestsrc num-buffers=2 ! jpegenc", "could not link.*decodebin ! videoconvert"),
            ("videotestsrc ! tee name=t ! appsink t. ! appsink", "2 elements appsink, one is needed"),
            ("appsink", "a single element"),
        ],
    )
    def test_a_pipeline_that_cannot_run_is_refused_with_its_element_s_words(self, pipeline: str, words: str) -> None:
        with pytest.raises(SourceError, match=words):
            frames_of(f"gst://{pipeline}")

    @pytest.mark.parametrize(
        ("pipeline", "words"),
        [
            ("videotestsrc ! jpegenc ! appsink", "gives image/jpeg.*videoconvert"),
            ("videotestsrc ! video/x-raw,format=P010_10LE ! appsink", "gives P010_10LE.*format=NV12"),
            ("videotestsrc ! video/x-raw,format=I420,width=321", r"\(321, 240\).*format=BGR"),
            ("videotestsrc ! video/x-raw,format=NV12,colorimetry=bt2020", "matrix bt2020.*colorimetry=bt709"),
        ],
    )
    def test_frames_that_cannot_be_read_are_refused_with_the_conversion(self, pipeline: str, words: str) -> None:
        with opened(f"gst://{pipeline}") as source, pytest.raises(SourceError, match=words):
            next(iter(source))

    def test_an_element_that_fails_in_mid_stream_ends_it_with_its_words(self) -> None:
        pipeline = "videotestsrc ! video/x-raw,format=GRAY8 ! identity error-after=5"
        with opened(f"gst://{pipeline}") as source:
            frames = iter(source)
            with pytest.raises(SourceError, match=r"stopped after \d frames \(identity0: Failed after"):
                list(frames)

    def test_a_pipeline_that_gives_nothing_is_late(self) -> None:
        hanging = "gst://videotestsrc ! video/x-raw,format=GRAY8 ! valve drop=true"
        with pytest.raises(SourceError, match=r"no frame for 0\.5 s"):
            open_source(hanging, SourceOptions(open_timeout_s=0.5))
        stops = "gst://videotestsrc is-live=true ! video/x-raw,format=GRAY8 ! identity drop-probability=1"
        with (
            opened(stops, SourceOptions(open_timeout_s=30.0, read_timeout_s=0.3)) as source,
            pytest.raises(SourceError, match=r"nothing came for 0\.3 s"),
        ):
            list(source)

    def test_a_process_that_dies_is_told(self) -> None:
        with opened("gst://videotestsrc is-live=true ! video/x-raw,format=GRAY8") as source:
            frames = iter(source)
            next(frames)
            source.process.kill()
            with pytest.raises(SourceError, match="its process has ended"):
                list(frames)

    def test_passwords_are_in_no_message(self) -> None:
        secret = "rtspsrc location=rtsp://me:hidden@127.0.0.1:1/x user-pw=hidden ! decodebin"
        with pytest.raises(SourceError) as caught:
            open_source(f"gst://{secret}", OPTIONS)
        assert "hidden" not in str(caught.value)
        assert "user-pw=***" in str(caught.value)


@needs_gstreamer
def test_every_frame_of_a_pipeline_that_is_a_file_becomes_a_mask(chain: Any, tmp_path: Path) -> None:
    pipeline = "gst://videotestsrc num-buffers=30 ! video/x-raw,format=NV12,width=64,height=48"
    command = [sys.executable, "-m", "edgeseg", "run", str(chain.fp32), pipeline, "masks.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    masks = [json.loads(line) for line in (tmp_path / "masks.jsonl").read_text().splitlines()]
    assert [(one["sequence"], one["size"]) for one in masks] == [(at, [48, 64]) for at in range(30)]


@needs_gstreamer
class TestClosing:
    def test_closing_wakes_a_waiting_read_and_leaves_nothing(self) -> None:
        before = set(os.listdir("/proc/self/fd"))
        source = opened("gst://videotestsrc is-live=true ! video/x-raw,format=GRAY8 ! identity drop-probability=1")
        given = list[Frame]()
        reader = threading.Thread(target=lambda: given.extend(source))
        reader.start()
        while not source._is_reading:
            time.sleep(0.005)
        source.close()
        reader.join(20)  # less than the read timeout
        assert not reader.is_alive() and given == []
        assert source.process.poll() is not None
        assert set(os.listdir("/proc/self/fd")) == before

    def test_closing_twice_and_reading_after_it_are_harmless(self) -> None:
        source = opened(f"gst://{RED} ! video/x-raw,format=GRAY8")
        source.close()
        source.close()
        assert list(source) == []
        assert source.process.poll() is not None
