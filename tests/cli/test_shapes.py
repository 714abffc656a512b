"""The words of shapes and of what scores leave in, as a user types them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from edgeseg.cli.shape_options import Shape
from edgeseg.sidecars import read_engine_spec


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("512x1024", (None, None, None, 512, 1024)),
        ("4X512X1024", (None, 4, None, 512, 1024)),
        ("4x3x512x1024", (None, 4, 3, 512, 1024)),
        ("image:1x3x32x64", ("image", 1, 3, 32, 64)),
        ("a:b:1x3x32x64", ("a:b", 1, 3, 32, 64)),
    ],
)
def test_a_shape_is_read(text: str, meant: Any) -> None:
    assert Shape().convert(text, None, None) == meant


@pytest.mark.parametrize("text", ["512", "0x64", "1x2x3x4x5", "ax64", "image:32x64", ":1x3x32x64", "32x-64", ""])
def test_what_is_no_shape_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no shape; write height x width, for example 512x1024"):
        Shape().convert(text, None, None)


def test_a_net_that_takes_one_size_is_to_be_exported_anew(chain: Any, edgeseg: Any) -> None:
    shapes = ("--minShapes", "32x64", "--max-shapes", "64x128")
    done = edgeseg("build-engine", chain.onnx, "-o", "net.engine", "--backend", "tensorrt-rtx", *shapes)
    assert done.returncode == 2
    assert "its height fixed at 32, a profile asks for 64: export it with --min-size and --max-size" in done.stderr


def test_a_minimum_alone_is_refused(chain: Any, edgeseg: Any) -> None:
    done = edgeseg("build-engine", chain.onnx, "-o", "net.engine", "--min-shapes", "32x64")
    assert done.returncode == 2
    assert "the minimum 1 times, the optimum 0 times, the maximum 0 times" in done.stderr


def test_the_logits_dtype_is_that_of_the_engines_output(chain: Any, edgeseg: Any, tmp_path: Path) -> None:
    words = ("--backend", "openvino", "--logits-dtype", "float16")
    done = edgeseg("build-engine", chain.onnx, "-o", "net.engine", *words)
    assert done.returncode == 0, done.stderr
    assert "-> float16 (1, 3, 16, 32)" in done.stdout
    assert read_engine_spec(tmp_path / "net.engine")[0].model.head.scores_dtype == "float16"


def test_the_help_shows_one_spelling(edgeseg: Any) -> None:
    text = edgeseg("build-engine", "--help").stdout
    assert "--min-shapes" in text
    assert "--minShapes" not in text
