from __future__ import annotations

import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from edgeseg.errors import ModelError
from edgeseg.export.loading import load_net

torch = pytest.importorskip("torch")

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=3, width=8):
        assert width > 0, "width must be above 0"
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, image):
        return self.head(self.norm(self.stem(image)).relu())


def half():
    return Net().half()


def broken():
    return undefined


limit = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "loading_net.py").write_text(NET)
    return tmp_path / "loading_net.py"


def test_a_net_is_made_from_a_file_or_a_package_with_arguments(file: Path) -> None:
    loaded = load_net(f"{file}:Net", {"num_classes": 5})
    assert loaded.net.head.out_channels == 5
    assert loaded.class_argument == "num_classes"
    assert (loaded.has_weights, loaded.notes) == (False, ())
    assert not loaded.net.training
    assert not load_net("torch.nn:Identity", {}).net.training


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnet", "package.module:factory"),
        ("no_such_package:net", "cannot be imported"),
        ("no_such_file.py:Net", "No such file"),
        ("torch.nn:Idendity", "nearest is Identity"),
        ("math:sqrt", "cannot be called"),
        ("collections:OrderedDict", "gives a OrderedDict"),
        ("net.onnx", "ONNX file already.*build-engine"),
        ("no_such_file.pt2", "No such file"),
    ],
)
def test_a_name_that_makes_no_net_is_refused(name: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_net(name, {})


def test_a_number_in_a_file_is_no_factory_and_the_factories_are_named(file: Path) -> None:
    with pytest.raises(ModelError, match=r"no class or function limit: there are Net, broken, half"):
        load_net(f"{file}:limit", {})


@pytest.mark.parametrize(("code", "told"), [("class Net(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError")])
def test_a_file_that_fails_when_it_is_imported_is_named(tmp_path: Path, code: str, told: str) -> None:
    (tmp_path / "net.py").write_text(code)
    with pytest.raises(ModelError, match=rf"net\.py cannot be imported \({told}"):
        load_net(f"{tmp_path / 'net.py'}:Net", {})


def test_an_argument_that_the_factory_lacks_is_told_with_those_that_it_has(file: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be called with classes=5.*it takes num_classes, width"):
        load_net(f"{file}:Net", {"classes": 5})


@pytest.mark.parametrize(
    ("what", "arguments", "told"),
    [("Net", {"width": 0}, "AssertionError: width must be above 0"), ("broken", {}, "NameError: name 'undefined'")],
)
def test_what_fails_inside_the_factory_is_told(file: Path, what: str, arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError, match=f"{what} fails with .*{told}"):
        load_net(f"{file}:{what}", arguments)


def test_a_16_bit_net_becomes_float32_and_that_is_said(file: Path) -> None:
    loaded = load_net(f"{file}:half", {})
    assert loaded.net.stem.weight.dtype == torch.float32
    assert loaded.notes == ("the net's numbers are float16: converted to float32",)


@pytest.fixture
def saved(file: Path, tmp_path: Path) -> Path:
    """A folder with the same net as a program, as TorchScript, scripted and traced, as weights and as a pickle."""
    torch.manual_seed(0)
    net = load_net(f"{file}:Net", {}).net
    image = torch.zeros(1, 3, 16, 16)
    torch.export.save(torch.export.export(net, (image,)), tmp_path / "net.pt2")
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    torch.save(net.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript calls itself deprecated
        torch.jit.script(net).save(tmp_path / "scripted.pt")
        torch.jit.trace(net, image).save(tmp_path / "traced.ts")
        torch.jit.freeze(torch.jit.script(net)).save(tmp_path / "frozen.torchscript")
        torch.jit.trace(net.train(), image, check_trace=False).save(tmp_path / "trained.ts")
        torch.jit.script(net.half()).save(tmp_path / "half.ts")
    return tmp_path


@pytest.mark.parametrize("name", ["scripted.pt", "traced.ts", "frozen.torchscript"])
def test_torchscript_is_loaded_in_evaluation_mode_and_computes_the_same(saved: Path, file: Path, name: str) -> None:
    torch.manual_seed(0)
    net = load_net(f"{file}:Net", {}).net
    loaded = load_net(str(saved / name), {})
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(loaded.net(image), net(image))
    assert loaded.has_weights


def test_torchscript_of_16_bits_becomes_float32(saved: Path) -> None:
    loaded = load_net(str(saved / "half.ts"), {})
    assert loaded.net(torch.zeros(1, 3, 16, 16)).dtype == torch.float32
    assert "float16" in loaded.notes[0]


def test_an_exported_program_is_loaded_under_any_name(saved: Path, tmp_path: Path) -> None:
    for name in ("net.pt2", "renamed.pt"):
        (tmp_path / name).write_bytes((saved / "net.pt2").read_bytes())
        loaded = load_net(str(tmp_path / name), {})
        assert isinstance(loaded.net, torch.export.ExportedProgram)
        assert loaded.has_weights


def test_torchscript_traced_in_training_mode_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"traced in training mode.*net\.eval\(\)"):
        load_net(str(saved / "trained.ts"), {})


def test_a_saved_net_takes_no_arguments(saved: Path) -> None:
    with pytest.raises(ModelError, match="takes no --arg width"):
        load_net(str(saved / "net.pt2"), {"width": 3})


def test_weights_named_as_a_net_are_told_apart_from_a_program(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"holds weights.*file\.py:Class.*--checkpoint"):
        load_net(str(saved / "weights.pt"), {})


@pytest.mark.parametrize("name", ["net.pt2", "scripted.pt"])
def test_a_program_cut_short_is_told(saved: Path, name: str) -> None:
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="cut short or damaged"):
        load_net(str(saved / name), {})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'"major": 8', b'"major": 99', r"version, it was written by torch 2\."),
        (b"{", b"", ""),
    ],
)
def test_a_program_that_this_torch_cannot_read_is_told_with_the_versions(
    saved: Path, tmp_path: Path, old: bytes, new: bytes, told: str
) -> None:
    with zipfile.ZipFile(saved / "net.pt2") as source, zipfile.ZipFile(tmp_path / "other.pt2", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(old, new) if name.endswith("model.json") else data)
    with pytest.raises(ModelError, match=rf"cannot be read by torch {torch.__version__[:4]}.*{told}"):
        load_net(str(tmp_path / "other.pt2"), {})


def test_the_old_format_of_torch_is_no_program(saved: Path) -> None:
    with pytest.raises(ModelError, match="no program of torch"):
        load_net(str(saved / "old.pt"), {})


def test_loading_needs_no_package_of_nets(file: Path) -> None:
    program = f"""
import sys
for name in ("torchvision", "timm", "transformers", "segmentation_models_pytorch"):
    sys.modules[name] = None
from edgeseg.export.loading import load_net
load_net("{file}:Net", {{}})
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_modules_of_one_name_in_two_folders_are_both_found(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / file.name).write_text(NET.replace("num_classes=3", "num_classes=7"))
    assert load_net(f"{file}:Net", {}).net.head.out_channels == 3
    assert load_net(f"{other / file.name}:Net", {}).net.head.out_channels == 7
