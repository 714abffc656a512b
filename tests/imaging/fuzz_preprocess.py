"""Own the fuzz of the pre-processing: random shapes, pitches, formats and options, also wrong ones.

    python tests/imaging/fuzz_preprocess.py --cases 50000 --seed 0

Every case runs on buffers of the exact size, so that a sanitizer sees a byte too far. One in ``--compare`` is compared
with the NumPy reference. A wrong case must raise ShapeError. Prints the seed of a case that fails: ``--only SEED``.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from edgeseg.errors import ShapeError
from edgeseg.imaging.formats import COLOUR_MATRICES, PIXEL_FORMATS, Picture, PixelFormat, TensorFormat
from edgeseg.imaging.geometry import Rect
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.imaging.preprocess_reference import reference_tensor
from edgeseg.spec import InputSpec, Interpolation, ResizeRule

PAIRED = ("YUYV", "UYVY", "NV12", "I420")
ROW_FACTOR = {"GRAY8": 1, "NV12": 1, "I420": 1, "YUYV": 2, "UYVY": 2}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FLOAT_TOLERANCE = 1e-5 / min(STD)
HALF_TOLERANCE = FLOAT_TOLERANCE + 2.0**-9  # the last place of a half below 4


@dataclass
class Case:
    """One call, valid until ``spoil`` has been at it."""

    spec: InputSpec
    held: TensorFormat
    threads: int
    picture: Picture
    tensor: Any
    options: dict[str, Any] = field(default_factory=dict)

    def run(self) -> np.ndarray:
        maker = Preprocessor(self.spec, threads=self.threads, tensor_format=self.held)
        maker.into(self.tensor, self.picture, **self.options)
        return self.tensor[self.options["batch_index"]]


def side(draw: random.Random) -> int:
    """Mostly small, sometimes beyond every block and vector length."""
    return draw.choice((1, 2, 3, draw.randint(1, 16), draw.randint(1, 70), draw.randint(1, 70), draw.randint(1, 700)))


def plane(draw: random.Random, rng: np.random.Generator, rows: int, row_bytes: int) -> np.ndarray:
    """Rows with a pitch in memory that ends with the last row's last byte; some upside down."""
    pitch = row_bytes + draw.choice((0, 0, 1, 2, 13, 64))
    raw = rng.integers(0, 256, (rows - 1) * pitch + row_bytes, np.uint8)
    view = np.lib.stride_tricks.as_strided(raw, (rows, row_bytes), (pitch, 1))
    return view[::-1] if draw.random() < 0.1 else view


def draw_picture(draw: random.Random, pixel_format: PixelFormat) -> Picture:
    rng = np.random.default_rng(draw.getrandbits(32))
    evenly = 2 if pixel_format in PAIRED else 1
    width, height = evenly * side(draw), evenly * side(draw)
    if pixel_format == "NV12":
        return plane(draw, rng, height, width), plane(draw, rng, height // 2, width)
    if pixel_format == "I420":
        halves = (plane(draw, rng, height // 2, width // 2) for _ in range(2))
        return plane(draw, rng, height, width), *halves
    channels = ROW_FACTOR.get(pixel_format, len(pixel_format))
    rows = plane(draw, rng, height, width * channels)
    if channels == 1:
        return rows
    return np.lib.stride_tricks.as_strided(rows, (height, width, channels), (rows.strides[0], channels, 1))


def size_wh(picture: Picture) -> tuple[int, int]:
    first = picture[0] if isinstance(picture, tuple) else picture
    return first.shape[1], first.shape[0]


def draw_roi(draw: random.Random, width: int, height: int) -> Rect | None:
    if draw.random() < 0.6:
        return None
    x, y = draw.randrange(width), draw.randrange(height)
    return Rect(x, y, draw.randint(1, width - x), draw.randint(1, height - y))


def draw_case(draw: random.Random) -> Case:
    pixel_format = draw.choice(PIXEL_FORMATS)
    picture = draw_picture(draw, pixel_format)
    colour = draw.choice(("RGB", "BGR", "GRAY"))
    channels = 1 if colour == "GRAY" else 3
    spec = InputSpec(
        name="image",
        size_hw=(side(draw), side(draw)),
        colour=colour,  # type: ignore[arg-type]
        mean=MEAN[:channels],
        std=STD[:channels],
        resize=draw.choice(get_args(ResizeRule)),
        interpolation=draw.choice(get_args(Interpolation)),
        pad_value=draw.choice((0.0, 114.0, 255.0, draw.uniform(0, 255))),
    )
    dtype = draw.choice(("float32", "float16", "uint8", "int8"))
    scale = 1.0 if dtype.startswith("float") else draw.uniform(0.01, 0.1)
    held = TensorFormat(dtype=dtype, layout=draw.choice(("NCHW", "NHWC")), scale=scale)  # type: ignore[arg-type]
    options = {
        "pixel_format": pixel_format,
        "colour_matrix": draw.choice(COLOUR_MATRICES),
        "is_full_range": draw.random() < 0.5,
        "roi": draw_roi(draw, *size_wh(picture)),
        "batch_index": draw.randrange(2),
    }
    threads = draw.choice((1, 1, 1, 2, 3))
    tensor = np.empty((options["batch_index"] + 1, *Preprocessor(spec, tensor_format=held).shape[1:]), dtype)
    return Case(spec, held, threads, picture, tensor, options)


def spoil(draw: random.Random, case: Case) -> str:
    """Make one thing wrong; says which."""
    width, height = size_wh(case.picture)
    first = case.picture[0] if isinstance(case.picture, tuple) else case.picture
    read_only = case.tensor.view()
    read_only.flags.writeable = False
    overlapping = np.zeros(case.tensor.nbytes + first.nbytes, np.uint8)
    inner = np.lib.stride_tricks.as_strided(overlapping[case.tensor.nbytes - 1 :], first.shape)
    ways: dict[str, Any] = {
        "batch_index": lambda: case.options.update(batch_index=draw.choice((-1, case.tensor.shape[0], 2**31 - 1))),
        "format": lambda: case.options.update(pixel_format=draw.choice(("P010", "", "bgr"))),
        "matrix": lambda: case.options.update(colour_matrix="BT.2020"),
        "roi": lambda: case.options.update(
            roi=draw.choice(
                (
                    Rect(0, 0, width + 1, height),
                    Rect(width, 0, 1, 1),
                    Rect(0, -1, 1, 1),
                    Rect(0, 0, 0, 1),
                    Rect(2**31 - 1, 0, 2**31 - 1, 1),
                )
            )
        ),
        "threads": lambda: setattr(case, "threads", draw.choice((0, -3, 1000))),
        "tensor dtype": lambda: setattr(case, "tensor", np.zeros(case.tensor.shape)),
        "tensor shape": lambda: setattr(case, "tensor", np.pad(case.tensor, ((0, 0), (0, 0), (0, 1), (0, 0)))),
        "tensor rank": lambda: setattr(case, "tensor", case.tensor[0]),
        "tensor is read-only": lambda: setattr(case, "tensor", read_only),
        "tensor is none": lambda: setattr(case, "tensor", draw.choice((None, [1.0], "x"))),
        "picture dtype": lambda: replace_first(case, first.astype(draw.choice((np.int8, np.uint16, np.float32)))),
        "picture gaps": lambda: replace_first(case, np.repeat(first, 2, axis=1)[:, ::2] if width > 1 else first[:0]),
        "picture empty": lambda: replace_first(case, first[:0]),
        "picture rank": lambda: replace_first(case, first[0]),
        "picture planes": lambda: setattr(case, "picture", (first,) * 4),
        "picture is none": lambda: setattr(case, "picture", draw.choice((None, [1, 2], (None,), ()))),
        "overlap": lambda: (
            setattr(
                case, "tensor", overlapping[: case.tensor.nbytes].view(case.tensor.dtype).reshape(case.tensor.shape)
            ),
            replace_first(case, inner),
        ),
    }
    if isinstance(case.picture, tuple):
        ways["chroma rows"] = lambda: setattr(case, "picture", (*case.picture[:-1], case.picture[-1][1:]))
        ways["chroma columns"] = lambda: setattr(case, "picture", (*case.picture[:-1], case.picture[-1][:, 1:]))
        ways["odd height"] = lambda: replace_first(case, first[1:])
    if case.options["pixel_format"] in PAIRED:
        ways["odd width"] = lambda: replace_first(case, first[:, 1:])
    name = draw.choice(sorted(ways))
    ways[name]()
    return name


def replace_first(case: Case, first: Any) -> None:
    case.picture = (first, *case.picture[1:]) if isinstance(case.picture, tuple) else first


def check(seed: int, *, is_compared: bool) -> str:
    """Run one case; returns what kind it was.

    Raises:
        AssertionError: a wrong case passed, or a right one is not what the reference says.
    """
    draw = random.Random(seed)
    case = draw_case(draw)
    if draw.random() < 0.25:
        name = spoil(draw, case)
        try:
            case.run()
        except ShapeError:
            return "refused"
        raise AssertionError(f"'{name}' was not refused")
    found = case.run()
    if not is_compared:
        return "ran"
    options = {key: value for key, value in case.options.items() if key != "batch_index"}
    expected = reference_tensor(case.spec, case.picture, tensor_format=case.held, **options)[0]
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
    tolerance = {"float32": FLOAT_TOLERANCE, "float16": HALF_TOLERANCE}.get(case.held.dtype, 1.0)
    assert difference <= tolerance, f"differs by {difference}, more than {tolerance}: {case.spec} {case.options}"
    return "compared"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", type=int, default=10, help="compare one case in so many with the reference")
    parser.add_argument("--only", type=int, help="one case, by the seed that a failure printed")
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(check(arguments.only, is_compared=True))  # noqa: T201
        return 0
    counts: dict[str, int] = {}
    for index in range(arguments.cases):
        seed = arguments.seed * 1_000_000_007 + index
        try:
            kind = check(seed, is_compared=index % arguments.compare == 0)
        except Exception as error:
            print(f"case --only {seed}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
            raise
        counts[kind] = counts.get(kind, 0) + 1
    print(f"fuzz_preprocess: {arguments.cases} cases from seed {arguments.seed}: {counts}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
