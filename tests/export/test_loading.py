from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import ModelError
from edgeseg.export.loading import load_checkpoint, load_module

torch = pytest.importorskip("torch")


@pytest.fixture
def net(chain: Any) -> Any:
    torch.manual_seed(0)
    return load_module(f"{chain.net_file}:SmallNet", {})


def test_a_net_is_made_from_a_file_or_a_package_with_arguments(chain: Any) -> None:
    assert load_module(f"{chain.net_file}:SmallNet", {"classes": 5}).head.out_channels == 5
    assert not load_module("torch.nn:Identity", {}).training


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnet", "package.module:factory"),
        ("no_such_package:net", "cannot be imported"),
        ("no_such_file.py:Net", "No such file"),
        ("torch.nn:Idendity", "nearest is Identity"),
        ("math:sqrt", "cannot be called"),
        ("collections:OrderedDict", "gives a OrderedDict"),
    ],
)
def test_a_name_that_makes_no_net_is_refused(name: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_module(name, {})


def test_a_file_with_a_syntax_error_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("class Net(:")
    with pytest.raises(ModelError, match=r"net\.py cannot be imported"):
        load_module(f"{tmp_path / 'net.py'}:Net", {})


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers_and_the_parallel_prefix_are_taken_off(
    net: Any, chain: Any, tmp_path: Path, wrap: Any, prefix: str
) -> None:
    trained = load_module(f"{chain.net_file}:SmallNet", {})
    torch.save(wrap({prefix + key: value for key, value in trained.state_dict().items()}), tmp_path / "c.pt")
    load_checkpoint(net, tmp_path / "c.pt")
    for key, value in trained.state_dict().items():
        assert torch.equal(net.state_dict()[key], value)


def test_safetensors_are_loaded(net: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    doubled = {key: value * 2 for key, value in net.state_dict().items()}
    save_file(doubled, tmp_path / "c.safetensors")
    load_checkpoint(net, tmp_path / "c.safetensors")
    assert torch.equal(net.head.weight, doubled["head.weight"])


def test_a_pickled_whole_model_is_refused_with_the_reason_and_not_run(net: Any, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "whole.pt")
    with pytest.raises(ModelError, match=r"run code when they are loaded.*state_dict"):
        load_checkpoint(net, tmp_path / "whole.pt")


@pytest.mark.parametrize("name", ["c.pt", "c.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x04."])
def test_a_file_that_is_no_checkpoint_is_refused(net: Any, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        load_checkpoint(net, tmp_path / name)


def test_keys_that_do_not_fit_are_counted_with_the_nearest_name(net: Any, tmp_path: Path) -> None:
    weights = net.state_dict()
    weights["haed.weight"] = weights.pop("head.weight")
    torch.save(weights, tmp_path / "c.pt")
    with pytest.raises(ModelError, match=r"1 keys of the net are missing, first head\.weight \(nearest.*haed\.weight"):
        load_checkpoint(net, tmp_path / "c.pt")


def test_a_shape_that_does_not_fit_is_told_with_both_shapes(net: Any, chain: Any, tmp_path: Path) -> None:
    torch.save(load_module(f"{chain.net_file}:SmallNet", {"classes": 5}).state_dict(), tmp_path / "c.pt")
    with pytest.raises(ModelError, match=r"head\.\w+ is \(5.*the net has \(3.*--arg"):
        load_checkpoint(net, tmp_path / "c.pt")


def test_tensors_that_are_no_state_dict_are_refused(net: Any, tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "c.pt")
    with pytest.raises(ModelError, match="no state dict"):
        load_checkpoint(net, tmp_path / "c.pt")
