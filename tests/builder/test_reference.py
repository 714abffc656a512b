from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from edgeseg import Session
from edgeseg.builder.reference import reference_session
from edgeseg.errors import SpecError
from edgeseg.sidecars import read_engine_spec
from edgeseg.spec import InputSpec


def masks_of(session: Session, chain: Any) -> np.ndarray:
    with session:
        return np.stack([session.segment(cv2.imread(str(path))) for path in sorted(chain.images.iterdir())[:3]])


def test_the_reference_gives_the_masks_of_the_fp32_engine(chain: Any) -> None:
    session = reference_session(chain.onnx, like=read_engine_spec(chain.int8)[0].model)
    assert session.spec.precision.kind == "fp32"
    np.testing.assert_array_equal(masks_of(session, chain), masks_of(Session(chain.fp32), chain))


def test_a_net_without_a_sidecar_takes_frames_as_the_engine_does(chain: Any, tmp_path: Path) -> None:
    shutil.copy(chain.onnx, tmp_path / "net.onnx")
    model = read_engine_spec(chain.fp32)[0].model
    session = reference_session(tmp_path / "net.onnx", like=model)
    assert session.spec.model.input == model.input
    np.testing.assert_array_equal(masks_of(session, chain), masks_of(Session(chain.fp32), chain))


def test_an_engine_that_normalises_itself_does_not_tell_how(chain: Any, tmp_path: Path) -> None:
    shutil.copy(chain.onnx, tmp_path / "net.onnx")
    model = read_engine_spec(chain.fp32)[0].model
    pixels: InputSpec = replace(model.input, dtype="uint8", mean=(0.0,) * 3, std=(1 / 255,) * 3)
    with pytest.raises(SpecError, match="does not tell how to normalise"):
        reference_session(tmp_path / "net.onnx", like=replace(model, input=pixels))
