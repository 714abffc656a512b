"""Own the files of the set: which seeds are drawn, names, formats, manifest. Draw nothing itself.

python -m edgeseg.calib_data.generate --out DIR [--seed N]
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from edgeseg.calib_data.classes import ClassId, labels_document
from edgeseg.calib_data.figures import Person
from edgeseg.calib_data.light import Image
from edgeseg.calib_data.scene import FRAMES_PER_S, Rig, Scene, random_scene

GENERATOR_VERSION = 1
JPEG_QUALITY = 90
STILL_SIZE_WH = (960, 540)
CLIP_SIZE_WH = (1280, 720)
MOODS_IN_TURN = (
    "clear",
    "overcast",
    "golden",
    "clear",
    "dusk",
    "clear",
    "overcast",
    "golden",
)
# Scene seeds are BLOCK * block + index + the set's seed; blocks keep the four uses apart.
BLOCK = 1_000_000
# Chosen by eye: a street that stays clear before the camera.
CLIP_INDEX = 5
VALIDATION_BLOCK, CALIBRATION_BLOCK, CLIP_BLOCK, TRAINING_BLOCK = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much is drawn: still frames of each kind and frames of the clip."""

    calibration: int = 32
    validation: int = 24
    clip: int = 330


def block_seed(set_seed: int, block: int, index: int) -> int:
    """Seed of the `index`-th scene of a block (validation, calibration, clip or training).

    Raises:
        ValueError: `set_seed` or `index` would run into the next block.
    """
    if not 0 <= set_seed < 1000 or not 0 <= index < 900_000:
        raise ValueError(f"set seed {set_seed}, index {index}; expected 0-999 and 0-899999")
    return block * BLOCK + index + 1000 * BLOCK * set_seed


def still_frames(set_seed: int, block: int, count: int) -> Iterator[tuple[Image, Image]]:
    """Draw `count` scenes, lights in turn: frame_bgr (540, 960, 3) and labels (540, 960), both uint8."""
    for index in range(count):
        seed = block_seed(set_seed, block, index)
        scene = random_scene(seed, mood_name=MOODS_IN_TURN[index % len(MOODS_IN_TURN)])
        time_s = float(np.random.default_rng((seed, 1)).uniform(0, 6))
        yield scene.render(time_s, size_wh=STILL_SIZE_WH)


def clip_scene(set_seed: int) -> Scene:
    """The scene of the clip: clear light, a calm sensor so that the stream stays small, nobody in the camera's way."""
    scene = random_scene(block_seed(set_seed, CLIP_BLOCK, CLIP_INDEX), mood_name="clear")
    light = dataclasses.replace(scene.light, noise_sigma=0.6, blur_sigma_px=0.6)
    persons = [person for person in scene.persons if not _is_met(person, scene.rig)]
    return dataclasses.replace(scene, light=light, persons=persons)


def _is_met(person: Person, rig: Rig) -> bool:
    """Whether the camera's car would touch the person: less than 2 m to the side as it passes."""
    time_s = person.start_m[2] / (rig.speed_mps - person.velocity_mps[1])
    return abs(person.foot_at(time_s)[0] - rig.x_m) < 2.0


def _write_stills(out: Path, set_seed: int, counts: Counts) -> None:
    for folder in ("calibration", "validation/images", "validation/labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for index, (frame_bgr, _) in enumerate(still_frames(set_seed, CALIBRATION_BLOCK, counts.calibration)):
        _write_jpeg(out / "calibration" / f"{index:04}.jpg", frame_bgr)
    for index, (frame_bgr, labels) in enumerate(still_frames(set_seed, VALIDATION_BLOCK, counts.validation)):
        _write_jpeg(out / "validation" / "images" / f"{index:04}.jpg", frame_bgr)
        _encode(
            out / "validation" / "labels" / f"{index:04}.png",
            labels,
            [cv2.IMWRITE_PNG_COMPRESSION, 9],
        )


def _write_jpeg(path: Path, frame_bgr: Image) -> None:
    _encode(path, frame_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _encode(path: Path, image: Image, options: list[int]) -> None:
    is_encoded, data = cv2.imencode(path.suffix, image, options)
    if not is_encoded:
        raise OSError(f"OpenCV could not encode {path.name}")
    path.write_bytes(data.tobytes())


def _write_clip(path: Path, scene: Scene, frame_count: int) -> None:
    """Encode the clip as H.264, yuv420p, with its index in front so that browsers start at once."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_S)
        stream.width, stream.height = CLIP_SIZE_WH
        stream.pix_fmt = "yuv420p"
        # One thread: x264's output depends on their number.
        stream.options = {"crf": "27", "preset": "slow", "threads": "1", "g": "60"}
        for index in range(frame_count):
            frame_bgr, _ = scene.render(index / FRAMES_PER_S, size_wh=CLIP_SIZE_WH)
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame_bgr, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _manifest(out: Path, set_seed: int, counts: Counts) -> dict[str, object]:
    """Describe every file of the set but the manifest itself and what the repository adds."""
    paths = [
        *out.glob("calibration/*.jpg"),
        *out.glob("validation/*/*"),
        out / "clip.mp4",
        out / "labels.json",
    ]
    files = {path.relative_to(out).as_posix(): _fingerprint(path) for path in sorted(paths)}
    return {
        "generator_version": GENERATOR_VERSION,
        "seed": set_seed,
        "classes": len(ClassId),
        "still_size_wh": list(STILL_SIZE_WH),
        "clip_size_wh": list(CLIP_SIZE_WH),
        "clip_frames_per_s": FRAMES_PER_S,
        "counts": dataclasses.asdict(counts),
        "files": files,
    }


def _fingerprint(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def generate(out: Path, *, set_seed: int = 0, counts: Counts | None = None) -> None:
    """Write the whole set into `out`; files of the same names are replaced, others are left alone.

    Args:
        out: folder, made if it is missing.
        set_seed: 0-999; another seed gives other streets.
        counts: how much to draw; the committed set's counts when None.
    """
    chosen = counts or Counts()
    out.mkdir(parents=True, exist_ok=True)
    _write_stills(out, set_seed, chosen)
    _write_clip(out / "clip.mp4", clip_scene(set_seed), chosen.clip)
    (out / "labels.json").write_text(json.dumps(labels_document(), indent=2) + "\n", encoding="utf-8")
    document = json.dumps(_manifest(out, set_seed, chosen), indent=2)
    (out / "manifest.json").write_text(document + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and write the set."""
    parser = argparse.ArgumentParser(description="Draw the synthetic street set: stills, labels and a clip.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="0-999, another seed gives other streets (default 0)",
    )
    arguments = parser.parse_args()
    generate(arguments.out, set_seed=arguments.seed)


if __name__ == "__main__":
    main()
