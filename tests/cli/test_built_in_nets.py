"""`edgeseg export` and the built-in nets: their list, what is said of frames and weights, and every bad input.

The command runs inside the test's process, so that torch is loaded once.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from net_figures import MEASURED

from edgeseg.cli.main import main
from edgeseg.export import measured
from edgeseg.export.catalogue import BUILT_IN
from edgeseg.export.measured import write_measured

FAILURE, USAGE = 1, 2
NARROW = ("--arg", "width=0.1")
SIZE = ("--input-size", "64x64")


class Said(NamedTuple):
    code: int
    out: str
    err: str


Edgeseg = Callable[..., Said]


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Edgeseg]:
    """``called(*words)``: the command, in an empty folder; what it sets for its process is set back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    before = signal.getsignal(signal.SIGTERM)

    def call(*words: object) -> Said:
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    with warnings.catch_warnings():
        yield call
    logging.disable(logging.NOTSET)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Figures of two nets in the place of those that ship."""
    path = tmp_path_factory.mktemp("measured") / "measured.json"
    write_measured(path, MEASURED)
    monkeypatch.setattr(measured, "MEASURED_PATH", path)


def refused(said: Said, code: int, *parts: str) -> None:
    """One line of message with the parts in it, and no file."""
    assert said.code == code, said
    message = said.err.strip().splitlines()[-1]
    assert message.startswith("edgeseg export: " if code == FAILURE else "Error: ")
    assert [part for part in parts if part not in message] == [], message
    assert not list(Path.cwd().glob("*.onnx"))


def rows(text: str) -> dict[str, list[str]]:
    """The lines of the list that begin with a net's name, in words."""
    return {words[0]: words for line in text.splitlines() if (words := line.split()) and words[0] in BUILT_IN}


def test_the_list_has_a_line_a_net_with_its_title_authors_and_size_where_it_is_piped(
    called: Edgeseg, figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    said = called("export", "--list")
    assert said.code == 0
    assert list(rows(said.out)) == list(BUILT_IN)
    for name, net in BUILT_IN.items():
        (line,) = (one for one in said.out.splitlines() if one.startswith(f"{name} "))
        assert f" {net.title} " in line
        assert f" {net.source} " in line
        assert f" {net.size_hw[0]}x{net.size_hw[1]} " in line


@pytest.mark.parametrize("columns", ["80", "120", "200"])
def test_the_list_shows_what_was_measured_and_a_dash_for_the_rest(
    called: Edgeseg, figures: None, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = rows(called("export", "--list").out)
    assert shown["unet"][-7:] == ["512x512", "31.0", "M", "219.0", "G", "1250.5", "412.3"]
    assert shown["deeplab-v1-crf"][-5:] == ["1.0", "M", "-", "2.0", "1.0"]
    assert shown["segnet"][-5:] == ["352x480", "-", "-", "-", "-"]


@pytest.mark.parametrize(("columns", "has_authors"), [(80, False), (120, True), (143, True)])
def test_a_narrow_terminal_gets_every_name_and_figure_whole_with_the_titles_below(
    called: Edgeseg, figures: None, monkeypatch: pytest.MonkeyPatch, columns: int, has_authors: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table, *_ = called("export", "--list").out.partition("\nMedians")
    assert list(rows(table)) == list(BUILT_IN)
    assert max(map(len, table.splitlines())) <= columns
    assert "…" not in table
    words = " ".join(table.split())
    for net in BUILT_IN.values():
        assert net.title in words
        assert (net.source in words) == has_authors


def test_the_list_says_where_and_when_it_was_measured_and_how_to_measure(called: Edgeseg, figures: None) -> None:
    machine, _, own = called("export", "--list").out.strip().splitlines()[-3:]
    assert "2 cores of Some CPU, 2026-11-21, OpenVINO 2026.4.1" in machine
    for command in ("edgeseg export NAME", "edgeseg build-engine", "edgeseg benchmark"):
        assert command in own


def test_the_list_without_figures_still_shows_the_nets(
    called: Edgeseg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measured, "MEASURED_PATH", tmp_path / "none.json")
    said = called("export", "--list")
    assert list(rows(said.out)) == list(BUILT_IN)
    assert "No latencies have been measured." in said.out


def test_figures_that_are_damaged_are_said(called: Edgeseg, figures: None) -> None:
    measured.MEASURED_PATH.write_text("{")
    refused(called("export", "--list"), FAILURE, "holds no figures of nets")


def test_the_list_needs_no_optional_package() -> None:
    heavy = ("torch", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "openvino", "tensorrt_rtx", "modelopt", "cv2")
    program = f"""
import sys
for name in {heavy!r}:
    sys.modules[name] = None
from edgeseg.cli.main import main
sys.exit(main(["export", "--list"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(rows(done.stdout)) == list(BUILT_IN)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--list", "unet"), "leave out MODEL"),
        (("unet", "--list", "-o", "net.onnx"), "leave out MODEL"),
        (("--list", "-o", "net.onnx"), "leave out --out"),
        (("--list", "--opset", "19"), "leave out --opset"),
        (("--list", "--colour", "GRAY"), "leave out --colour"),
        (("-o", "net.onnx"), "Missing argument 'MODEL'. 'edgeseg export --list' shows"),
        (("unet",), "Missing option '-o' / '--out'. Write -o net.onnx"),
        (("unet", "-o", "net.pt"), "net.pt must end in .onnx"),
        (("some.module:net", "-o", "net.onnx"), "--input-size"),
        (("unet", "-o", "net.onnx", "--arg", "5"), "--arg '5' is not NAME=VALUE"),
        (("unet", "-o", "net.onnx", "--checkpoint", "a.pt", "--backbone-checkpoint", "b.pt"), "--backbone-checkpoint"),
        (("unet", "-o", "net.onnx", "--weights-key", "model"), "--weights-key does nothing without"),
        (("unet", "-o", "net.onnx", "--arg", "in_channels=1", "--colour", "RGB"), "this unet takes 1"),
        (("unet", "-o", "net.onnx", "--colour", "GRAY"), "give --arg in_channels=1"),
        (("fcn8s-slim", "-o", "net.onnx", "--colour", "BGR"), "give --arg in_channels=3"),
        (("unet", "-o", "net.onnx", "--arg", "in_channels=1", "--mean", "0.5,0.5,0.5"), "GRAY takes 1 value(s)"),
    ],
)
def test_a_wrong_use_is_refused(called: Edgeseg, words: tuple[str, ...], told: str) -> None:
    refused(called("export", *words), USAGE, told)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unett", "nearest is unet"),
        ("deeplabv3", "nearest is deeplab-v3"),
        ("segmentation", "there is no built-in net 'segmentation': 'edgeseg export --list' shows all"),
    ],
)
def test_an_unknown_net_is_refused(called: Edgeseg, name: str, told: str) -> None:
    refused(called("export", name, "-o", "net.onnx"), FAILURE, told, "edgeseg export --list")


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("num_classes=0", "num_classes is 0: a mask has 1 to 255 classes"),
        ("num_classes=256", "num_classes is 256: a mask has 1 to 255 classes"),
        ("num_classes=-1", "num_classes is -1"),
        ("num_classes=five", "num_classes is 'five': a mask has 1 to 255 classes"),
        ("num_classes=2.5", "num_classes is 2.5"),
        ("width=0", "width is 0: 1 is the published width"),
        ("width=-1", "width is -1"),
        ("width=narrow", "width is 'narrow'"),
        ("in_channels=4", "in_channels is 4: frames have 1 channel (grey) or 3 (colour)"),
        ("in_channels=0", "frames have 1 channel"),
        ("in_channels=grey", "in_channels is 'grey'"),
        ("classes=5", "it takes num_classes, in_channels, width"),
    ],
)
def test_an_argument_that_makes_no_net_is_refused(called: Edgeseg, argument: str, told: str) -> None:
    pytest.importorskip("torch")
    refused(called("export", "unet", "-o", "net.onnx", "--arg", argument), FAILURE, told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("unet", "--input-size", "100x64"), "not 100x64: take height 96 or 112"),
        (("unet", "--input-size", "64x100"), "not 64x100: take width 96 or 112"),
        (("unet", "--input-size", "100x130"), "take height 96 or 112 and width 128 or 144"),
        (("unet", "--input-size", "8x64"), "take height"),
        (("segnet", "--input-size", "40x64"), "take height 32 or 64"),
        (
            ("unet", "--input-size", "64x64", "--min-size", "48x48", "--max-size", "96x96", "--size-step", "8"),
            "give --size-step 16",
        ),
    ],
)
def test_a_size_that_the_net_does_not_take_is_refused(called: Edgeseg, words: tuple[str, ...], told: str) -> None:
    pytest.importorskip("torch")
    refused(called("export", *words, *NARROW, "-o", "net.onnx"), FAILURE, told)


def saved(net: Any, path: Path) -> Path:
    import torch

    torch.save(net.state_dict(), path)
    return path


@pytest.fixture
def resnet_file(tmp_path: Path) -> Path:
    """A narrow ResNet-50 with torchvision's keys."""
    torch = pytest.importorskip("torch")
    from edgeseg.export.nets.resnet import ResNet

    net = ResNet("resnet50", in_channels=3, width=0.1)
    net.fc = torch.nn.Linear(net.channels[-1], 1000)
    return saved(net, tmp_path / "resnet.pth")


def test_another_net_s_weights_are_refused(called: Edgeseg, resnet_file: Path) -> None:
    said = called("export", "unet", "-o", "net.onnx", *NARROW, *SIZE, "--checkpoint", resnet_file)
    refused(said, FAILURE, "resnet.pth", "does not fit the net", "make the net as it was trained (--arg)")


def test_a_classifier_s_weights_as_the_whole_net_s_are_refused_with_where_they_belong(
    called: Edgeseg, resnet_file: Path
) -> None:
    said = called("export", "refinenet", "-o", "net.onnx", *NARROW, *SIZE, "--checkpoint", resnet_file)
    refused(said, FAILURE, "does not fit the net", "give them with --backbone-checkpoint")


def test_backbone_weights_for_a_net_without_one_are_refused(called: Edgeseg, resnet_file: Path) -> None:
    said = called("export", "unet", "-o", "net.onnx", *NARROW, *SIZE, "--backbone-checkpoint", resnet_file)
    refused(said, FAILURE, "UNet has no backbone", "leave it out")


def test_backbone_weights_for_a_user_s_own_net_are_refused(called: Edgeseg, resnet_file: Path) -> None:
    said = called("export", "torch.nn:Identity", "-o", "net.onnx", *SIZE, "--backbone-checkpoint", resnet_file)
    refused(said, FAILURE, "Identity, which is no built-in net", "--checkpoint")


def test_backbone_weights_of_another_width_are_refused(called: Edgeseg, resnet_file: Path) -> None:
    words = ("--arg", "width=0.3", "--arg", "backbone=resnet50", *SIZE, "--backbone-checkpoint", resnet_file)
    refused(called("export", "refinenet", "-o", "net.onnx", *words), FAILURE, "leave --arg width out")


def test_backbone_weights_are_loaded_and_said(called: Edgeseg, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import onnx

    from edgeseg.export.nets.fcn import ConvolutionalVgg

    published = ConvolutionalVgg("vgg16", in_channels=3, width=0.1)
    published.classifier.add_module("6", torch.nn.Linear(published.channels[-1], 1000))
    path = saved(published, tmp_path / "vgg16.pth")
    said = called("export", "fcn32s", "-o", "net.onnx", *NARROW, *SIZE, "--backbone-checkpoint", path)
    assert said.code == 0, said.err
    assert "left out, as the backbone ends before them: classifier.6.bias, classifier.6.weight" in said.err
    assert "no --checkpoint: all but the backbone's weights are what the factory makes" in said.err
    numbers = [onnx.numpy_helper.to_array(one) for one in onnx.load("net.onnx").graph.initializer]
    first = published.features[0].weight.detach().numpy()
    assert any(one.shape == first.shape and (one == first).all() for one in numbers)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("unet", "--arg", "in_channels=1"), "frames are taken as GRAY, mean 0.449, std 0.226"),
        (("unet", "--arg", "in_channels=1", "--mean", "0.5", "--std", "0.25"), "taken as GRAY, mean 0.5, std 0.25"),
        (("fcn8s-vgg19", "--resize", "crop"), "taken as RGB, mean 0.485 0.458 0.4076, std 0.003922 0.003922 0.003922"),
    ],
)
def test_what_frames_are_taken_as_is_said_where_it_is_not_the_usual(
    called: Edgeseg, words: tuple[str, ...], told: str
) -> None:
    pytest.importorskip("torch")
    said = called("export", *words, *NARROW, *SIZE, "-o", "net.onnx")
    assert said.code == 0, said.err
    assert told in said.out


def test_the_usual_frames_are_not_spoken_of(called: Edgeseg) -> None:
    pytest.importorskip("torch")
    said = called("export", "unet", *NARROW, *SIZE, "-o", "net.onnx", "--resize", "letterbox")
    assert said.code == 0, said.err
    assert "frames are taken as" not in said.out
    assert "(1, 3, 64, 64)" in said.out
