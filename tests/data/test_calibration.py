"""Calibration frames: what a source means, streaming, bad files, hashes."""

from __future__ import annotations

import itertools
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeseg.data import CalibrationSet, LabelledSet, shared_images, shipped_data
from edgeseg.errors import DataError
from edgeseg.imaging.images import read_image
from edgeseg.runtime.sources import open_source

Put = Callable[..., Path]


@pytest.fixture
def images(tmp_path: Path, put: Put) -> Path:
    """Seven pictures, 0.png to 6.png."""
    for seed in range(7):
        put(tmp_path / "images" / f"{seed}.png", seed)
    return tmp_path / "images"


def frames_equal(frames: CalibrationSet, paths: list[Path]) -> bool:
    given = list(frames)
    return len(given) == len(paths) and all(
        np.array_equal(frame, read_image(path)) for frame, path in zip(given, paths, strict=True)
    )


def named(folder: Path, *numbers: int) -> list[Path]:
    return [folder / f"{number}.png" for number in numbers]


def test_the_shipped_set_has_32_calibration_frames() -> None:
    assert len(CalibrationSet(shipped_data())) == 32


def test_a_calibration_subfolder_is_taken_instead_of_its_folder(images: Path, put: Put) -> None:
    inner = put(images / "calibration" / "only.png", 9)
    assert CalibrationSet(images).paths == (inner,)


def test_a_folder_gives_its_images_by_name_and_twice_the_same(images: Path) -> None:
    frames = CalibrationSet(images)
    for _ in range(2):
        assert frames_equal(frames, named(images, *range(7)))


@pytest.mark.parametrize(("every", "numbers"), [(1, range(7)), (2, (0, 2, 4, 6)), (3, (0, 3, 6)), (9, (0,))])
def test_every_nth_image_is_taken_from_the_first(images: Path, every: int, numbers: tuple[int, ...]) -> None:
    frames = CalibrationSet(images, every=every)
    assert len(frames) == len(tuple(numbers))
    assert frames_equal(frames, named(images, *numbers))


@pytest.mark.parametrize("name", ["list.txt", "list.LST"])
def test_a_list_names_images_relative_to_itself_in_its_own_order(images: Path, name: str) -> None:
    listed = images.parent / name
    listed.write_text(f"# chosen by hand\n\nimages/5.png\n  images/1.png  \n{images / '3.png'}\n#images/0.png\n")
    assert frames_equal(CalibrationSet(listed), named(images, 5, 1, 3))
    assert frames_equal(CalibrationSet(listed, every=2), named(images, 5, 3))


@pytest.mark.parametrize(("every", "count"), [(1, 40), (7, 6), (40, 1), (41, 1)])
def test_a_video_gives_every_nth_frame_as_the_runtime_decodes_it(clip: Path, every: int, count: int) -> None:
    frames = CalibrationSet(clip, every=every)
    assert len(frames) == count
    with open_source(str(clip)) as source:
        expected = [frame.bgr for frame in source][::every]
    given = list(frames)
    assert len(given) == len(frames) == count
    for one, other in zip(given, expected, strict=True):
        assert np.array_equal(one, other)
        assert one.flags.writeable
    assert frames.skipped == ()


def test_a_video_that_was_cut_short_gives_what_it_holds_and_says_so(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    frames = CalibrationSet(cut)
    assert len(frames) == 40
    given = len(list(frames))
    assert 0 < given < 40
    assert len(frames) == given
    assert frames.skipped == ((cut, f"ended after {given} of 40 frames"),)


def test_damage_in_the_middle_of_a_video_leaves_out_the_frames_that_the_runtime_leaves_out(
    clip: Path, tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    with av.open(str(clip)) as container:
        packet = next(itertools.islice(container.demux(container.streams.video[0]), 20, None))
        at, size = packet.pos, packet.size
    data = bytearray(clip.read_bytes())
    data[at : at + size] = b"\xff" * size
    damaged = wrote(tmp_path / "damaged.mp4", bytes(data))
    with open_source(str(damaged)) as source:
        expected = [frame.bgr for frame in source]
    assert 0 < source.corrupt < 40
    frames = CalibrationSet(damaged)
    assert all(np.array_equal(one, other) for one, other in zip(frames, expected, strict=True))
    ((path, reason),) = frames.skipped
    assert path == damaged
    assert reason in (f"ended after {len(expected)} of 40 frames", f"{source.corrupt} of 40 frames cannot be decoded")


def test_a_video_whose_container_tells_no_count_is_counted(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "raw.h264"  # an elementary stream: no container, so no count
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        for seed in range(10):
            noise = np.random.default_rng(seed).integers(0, 256, (32, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
        container.mux(stream.encode())
    frames = CalibrationSet(path, every=3)
    assert len(frames) == len(list(frames)) == len(frames) == 4


def test_nothing_is_decoded_before_iteration(images: Path) -> None:
    (images / "3.png").write_bytes(b"no picture")
    assert len(CalibrationSet(images)) == 7


def test_a_frame_is_let_go_when_the_next_is_asked_for(images: Path) -> None:
    alive = list[weakref.ref[np.ndarray]]()
    for frame in CalibrationSet(images):
        alive.append(weakref.ref(frame))
        del frame
        assert sum(one() is not None for one in alive) <= 1


def broken(images: Path) -> None:
    (images / "3.png").write_bytes(b"no picture")


def emptied(images: Path) -> None:
    (images / "3.png").write_bytes(b"")


def too_large(images: Path) -> None:
    """A header that tells more pixels than OpenCV takes, for which it raises instead of returning nothing."""
    (images / "3.png").write_bytes(b"P6\n100000 100000\n255\nxx")


def missing(images: Path) -> None:
    (images / "3.png").unlink()


@pytest.mark.parametrize("spoil", [broken, emptied, too_large, missing])
class TestABadImageInTheMiddle:
    @pytest.fixture
    def listed(self, images: Path, spoil: Callable[[Path], None]) -> Path:
        path = images.parent / "list.txt"
        path.write_text("".join(f"images/{number}.png\n" for number in range(7)))
        spoil(images)
        return path

    def test_is_named_with_its_place_and_the_way_out(self, listed: Path) -> None:
        with pytest.raises(DataError, match=r"image 4 of 7: .*3\.png.*--skip-bad"):
            list(CalibrationSet(listed))

    def test_is_passed_over_and_remembered(self, listed: Path, images: Path) -> None:
        frames = CalibrationSet(listed, skip_bad=True)
        assert frames.skipped == ()
        for _ in range(2):
            assert frames_equal(frames, named(images, 0, 1, 2, 4, 5, 6))
            ((path, reason),) = frames.skipped
            assert path == images / "3.png"
            assert "3.png" in reason

    def test_does_not_keep_the_set_from_having_a_hash(self, listed: Path) -> None:
        assert len(CalibrationSet(listed, skip_bad=True).sha256) == 64


def test_a_set_of_bad_images_only_is_refused_even_where_they_are_skipped(images: Path) -> None:
    for path in images.iterdir():
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"none of 7 images can be read; the first: .*0\.png"):
        list(CalibrationSet(images, skip_bad=True))


SOURCES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nowhere", "is not there: give a folder"),
    "folder without images": (lambda folder: folder, "holds no image"),
    "empty list": (lambda folder: wrote(folder / "a.txt", b""), "empty"),
    "list of comments": (lambda folder: wrote(folder / "a.txt", b"# a\n\n# b\n"), "names no image in 3 lines"),
    "list that is no text": (lambda folder: wrote(folder / "a.lst", b"a.png\n\xff\xfe"), "byte 6 is not UTF-8"),
    "empty video": (lambda folder: wrote(folder / "a.mp4", b""), "empty"),
    "no video": (lambda folder: wrote(folder / "a.mp4", b"this is text" * 50), "cannot be opened as a video"),
    "one image": (lambda folder: wrote(folder / "a1.jpg", b"x"), "is one image: give a folder"),
}


def wrote(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_that_gives_no_frame_is_refused_with_the_next_step(kind: str, tmp_path: Path) -> None:
    make, message = SOURCES[kind]
    with pytest.raises(DataError, match=message):
        CalibrationSet(make(tmp_path))


def test_a_video_without_frames_is_refused(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    frames_start = data.index(b"mdat") + 4
    empty = wrote(tmp_path / "empty.mp4", data[:frames_start] + bytes(len(data) - frames_start))
    with pytest.raises(DataError, match=r"empty\.mp4: none of 40 frames can be read"):
        list(CalibrationSet(empty))


@pytest.mark.parametrize("every", [0, -1])
def test_a_step_below_one_is_refused(images: Path, every: int) -> None:
    with pytest.raises(DataError, match=f"every {every} is below 1"):
        CalibrationSet(images, every=every)


def test_the_hash_follows_content_order_and_step_and_no_names(images: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for path in images.iterdir():
        shutil.copy(path, renamed / f"frame-{path.name}")
    listed = wrote(tmp_path / "list.txt", "".join(f"images/{n}.png\n" for n in range(7)).encode())
    turned = wrote(tmp_path / "turned.txt", "".join(f"images/{n}.png\n" for n in reversed(range(7))).encode())
    doubled = wrote(tmp_path / "doubled.txt", "".join(f"images/{n}.png\n" for n in (*range(7), 6)).encode())
    own = CalibrationSet(images).sha256
    assert len(own) == 64
    assert own == CalibrationSet(renamed).sha256 == CalibrationSet(listed).sha256
    others = {CalibrationSet(path).sha256 for path in (turned, doubled)} | {CalibrationSet(images, every=2).sha256}
    assert len(others | {own}) == 4
    shutil.copy(images / "0.png", images / "1.png")
    assert CalibrationSet(images).sha256 not in others | {own}


def test_the_hash_of_a_video_follows_its_bytes_and_the_step(clip: Path, tmp_path: Path) -> None:
    copied = wrote(tmp_path / "other.mp4", clip.read_bytes())
    assert CalibrationSet(clip).sha256 == CalibrationSet(copied).sha256 != CalibrationSet(clip, every=2).sha256
    longer = wrote(tmp_path / "longer.mp4", clip.read_bytes() + b"\0")
    assert CalibrationSet(clip).sha256 != CalibrationSet(longer).sha256
    assert CalibrationSet(clip).files_sha256 == frozenset()


def test_held_out_images_that_were_calibrated_on_are_found_under_any_name(tmp_path: Path, put: Put) -> None:
    for seed in range(4):
        put(tmp_path / "held" / "images" / f"{seed}.png", seed)
        put(tmp_path / "held" / "labels" / f"{seed}.png", np.zeros((2, 3), np.uint8))
    for name, seed in (("a", 2), ("b", 11), ("c", 0)):
        put(tmp_path / "calibration" / f"{name}.png", seed)
    held_out = LabelledSet(tmp_path / "held")
    shared = shared_images(CalibrationSet(tmp_path / "calibration"), held_out)
    assert [path.name for path in shared] == ["0.png", "2.png"]
    assert shared_images(CalibrationSet(shipped_data()), held_out) == ()


def test_the_shipped_calibration_and_held_out_frames_do_not_overlap() -> None:
    assert shared_images(CalibrationSet(shipped_data()), LabelledSet(shipped_data())) == ()
