"""Label files: ids of every bit depth, exactly; what is no label is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import DataError
from edgeseg.imaging.images import read_image, read_label, read_label_pixels, write_png


def write_grey_png(path: Path, ids: np.ndarray, bits: int) -> None:
    """A grey PNG of less than 8 bits a pixel, which neither OpenCV nor Pillow writes for more than one bit."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    spread = np.unpackbits(ids[..., None], axis=2)[..., 8 - bits :].reshape(len(ids), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(spread, axis=1))
    header = struct.pack(">IIBBBBB", ids.shape[1], len(ids), bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_labels_of_few_bits_give_the_ids_that_they_hold(tmp_path: Path, bits: int) -> None:
    ids = (np.arange(3 * 11) % 2**bits).astype(np.uint8).reshape(3, 11)
    write_grey_png(tmp_path / "label.png", ids, bits)
    raw = cv2.imread(str(tmp_path / "label.png"), cv2.IMREAD_UNCHANGED)
    assert raw.max() == 255, "OpenCV spreads the values over 0 to 255"
    assert read_label(tmp_path / "label.png").tolist() == ids.tolist()


def test_a_one_bit_label_of_another_writer_is_read(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    ids = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    image.fromarray(ids * 255).convert("1").save(tmp_path / "label.png")
    assert read_label(tmp_path / "label.png").tolist() == ids.tolist()


def test_eight_bits_are_ids_as_they_are(tmp_path: Path) -> None:
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_png(tmp_path / "label.png", ids)
    assert np.array_equal(read_label(tmp_path / "label.png"), ids)


def test_sixteen_bits_are_taken_where_the_ids_fit_eight(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    cv2.imwrite(str(path), np.array([[0, 255], [7, 1]], np.uint16))
    label = read_label(path)
    assert (label.dtype, label.tolist()) == (np.uint8, [[0, 255], [7, 1]])
    cv2.imwrite(str(path), np.array([[0, 256], [7, 1]], np.uint16))
    with pytest.raises(DataError, match=r"label\.png holds the id 256 in 16 bits"):
        read_label(path)


def test_colours_are_no_ids_but_are_given_as_pixels(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    write_png(tmp_path / "label.png", picture)
    assert np.array_equal(read_label_pixels(tmp_path / "label.png"), picture)
    with pytest.raises(DataError, match=r"label\.png is uint8 \(2, 3, 3\): a label is an 8-bit single-channel"):
        read_label(tmp_path / "label.png")


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 3)])
def test_neither_alpha_nor_deep_colours_are_labels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    dtype = np.uint8 if shape[2] == 4 else np.uint16
    cv2.imwrite(str(tmp_path / "label.png"), np.zeros(shape, dtype))
    with pytest.raises(DataError, match=r"label\.png is uint"):
        read_label_pixels(tmp_path / "label.png")


def test_a_header_that_promises_too_much_is_a_broken_image(tmp_path: Path) -> None:
    path = tmp_path / "huge.ppm"
    path.write_bytes(b"P6\n100000 100000\n255\nxx")
    with pytest.raises(DataError, match=r"huge\.ppm is no image that can be decoded"):
        read_image(path)
