from __future__ import annotations

import argparse
import json
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import ModelError
from edgeseg.export.checkpoints import load_checkpoint

torch = pytest.importorskip("torch")

State = dict[str, Any]


class Net(torch.nn.Module):
    """Two layers and a classifier, made anew for each test."""

    def __init__(self, classes: int = 3, width: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(channels, width, 3)
        self.norm = torch.nn.BatchNorm2d(width)
        self.head = torch.nn.Conv2d(width, classes, 1)


@pytest.fixture
def net() -> Any:
    torch.manual_seed(0)
    return Net()


def state(scale: float = 1.0, **arguments: int) -> State:
    """Weights that no fresh net has."""
    torch.manual_seed(1)
    return {key: one * scale if one.is_floating_point() else one for key, one in Net(**arguments).state_dict().items()}


def prefixed(prefix: str, weights: State) -> State:
    return {prefix + key: one for key, one in weights.items()}


def has(net: Any, weights: State) -> bool:
    return all(torch.equal(net.state_dict()[key], one) for key, one in weights.items())


def saved(content: object, folder: Path, name: str = "c.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


WRAPPERS: list[Callable[[State], object]] = [
    lambda weights: weights,
    lambda weights: OrderedDict(weights),
    lambda weights: {"state_dict": weights, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}},
    lambda weights: {"model": weights},
    lambda weights: {"model_state_dict": weights},
    lambda weights: {"model": {"net": weights}},
    lambda weights: {"anything": weights},
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "model._orig_mod.", "a.b."])
def test_weights_are_found_under_any_wrapper_and_prefix(net: Any, tmp_path: Path, wrap: Any, prefix: str) -> None:
    assert load_checkpoint(net, saved(wrap(prefixed(prefix, state())), tmp_path)) == ()
    assert has(net, state())


def test_parts_compiled_by_torch_have_their_mark_taken_off(net: Any, tmp_path: Path) -> None:
    weights = {key.replace("stem.", "stem._orig_mod."): one for key, one in state().items()}
    load_checkpoint(net, saved(weights, tmp_path))
    assert has(net, state())


def test_a_module_that_only_wraps_a_net_takes_the_nets_weights(net: Any, tmp_path: Path) -> None:
    wrapper = torch.nn.Sequential(torch.nn.Sequential(torch.nn.ReLU(), net))
    load_checkpoint(wrapper, saved({"state_dict": prefixed("model.", state())}, tmp_path))
    assert has(net, state())


@pytest.mark.parametrize("ema", ["model_ema", "state_dict_ema", "ema_state_dict", "ema", "params_ema", "swa_model"])
def test_averaged_weights_come_first_and_that_is_said(net: Any, tmp_path: Path, ema: str) -> None:
    path = saved({"model": state(), ema: prefixed("module.", state(2.0))}, tmp_path)
    (note,) = load_checkpoint(net, path)
    assert has(net, state(2.0))
    assert f"those at {ema}.module; --weights-key takes others: model" in note
    load_checkpoint(net, path, weights_key="model")
    assert has(net, state())


def test_averaged_weights_are_found_in_a_callback_and_among_the_model_of_lightning(net: Any, tmp_path: Path) -> None:
    plain = {"state_dict": prefixed("net.", state()), "pytorch-lightning_version": "2.5.0", "hyper_parameters": {}}
    load_checkpoint(net, saved({**plain, "callbacks": {"EMA": {"weights": prefixed("net.", state(2.0))}}}, tmp_path))
    assert has(net, state(2.0))
    both = {**prefixed("net.", state()), **prefixed("net_ema.module.", state(3.0)), "net_ema.n_averaged": torch.ones(1)}
    load_checkpoint(net, saved({"state_dict": both}, tmp_path))
    assert has(net, state(3.0))


@pytest.mark.parametrize(
    "content",
    [
        {"current_model_state": prefixed("net.", state()), "state_dict": prefixed("net.", state(2.0))},  # Lightning's
        {"message_hub": {}, "ema_state_dict": prefixed("module.", state()), "state_dict": state(2.0)},  # MMEngine's
    ],
)
def test_files_that_put_the_averaged_weights_under_state_dict_are_known(
    net: Any, tmp_path: Path, content: object
) -> None:
    load_checkpoint(net, saved(content, tmp_path))
    assert has(net, state(2.0))


def test_averaged_weights_without_the_statistics_are_not_taken_and_that_is_said(net: Any, tmp_path: Path) -> None:
    shadow = {key: one for key, one in state(2.0).items() if "running" not in key}
    (note,) = load_checkpoint(net, saved({"model": state(), "shadow": shadow}, tmp_path))
    assert has(net, state())
    assert "shadow holds 6 of the net's tensors and model 8: not taken" in note


def test_averaged_weights_of_torch_lose_their_counter_and_that_is_said(net: Any, tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(net)
    assert load_checkpoint(Net(), saved(averaged.state_dict(), tmp_path)) == (
        "left out, as they are not the net's: n_averaged",
    )


def test_two_equal_candidates_are_told_and_one_can_be_chosen(net: Any, tmp_path: Path) -> None:
    both = {**prefixed("student.", state()), **prefixed("teacher.", state(2.0))}
    path = saved({"state_dict": both}, tmp_path)
    with pytest.raises(ModelError, match=r"2 times: .*--weights-key: state_dict\.student, state_dict\.teacher"):
        load_checkpoint(net, path)
    load_checkpoint(net, path, weights_key="state_dict.teacher")
    assert has(net, state(2.0))


def test_a_weights_key_that_is_not_there_is_told_with_those_that_are(net: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights of the net at 'ema': there are model"):
        load_checkpoint(net, saved({"model": state()}, tmp_path), weights_key="ema")


def test_tensors_beside_the_nets_are_left_out_and_named(net: Any, tmp_path: Path) -> None:
    content = {"state_dict": {**prefixed("model.", state()), "loss.weight": torch.ones(3)}}
    (note,) = load_checkpoint(net, saved(content, tmp_path))
    assert note == "left out, as they are not the net's: loss.weight"


def test_bookkeeping_and_missing_counters_are_no_misfit_and_are_said(net: Any, tmp_path: Path) -> None:
    weights = {**state(), "total_ops": torch.ones(1), "stem.total_params": torch.ones(1)}
    del weights["norm.num_batches_tracked"]
    counters, bookkeeping = load_checkpoint(net, saved(weights, tmp_path))
    assert "1 counters" in counters
    assert bookkeeping.endswith("total_ops, stem.total_params")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["c.pt", "c.safetensors"])
def test_other_floats_become_float32_and_that_is_said(net: Any, tmp_path: Path, dtype: str, name: str) -> None:
    from safetensors.torch import save_file

    weights = {key: one.to(getattr(torch, dtype)) if one.is_floating_point() else one for key, one in state().items()}
    (save_file if name.endswith("safetensors") else torch.save)(weights, tmp_path / name)
    assert load_checkpoint(net, tmp_path / name) == (f"the checkpoint's numbers are {dtype}: converted to float32",)
    assert net.head.weight.dtype == torch.float32
    assert torch.equal(net.head.weight, weights["head.weight"].float())


@pytest.mark.parametrize("kind", ["int8", "float8_e4m3fn"])
def test_quantised_weights_are_refused(net: Any, tmp_path: Path, kind: str) -> None:
    weights = {**state(), "head.weight": state()["head.weight"].to(getattr(torch, kind))}
    with pytest.raises(ModelError, match=rf"quantised: head\.weight is {kind}"):
        load_checkpoint(net, saved(weights, tmp_path))


def test_safetensors_and_the_old_format_of_torch_are_loaded(net: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(state(), tmp_path / "c.safetensors")
    load_checkpoint(net, tmp_path / "c.safetensors")
    assert has(net, state())
    torch.save({"state_dict": state(2.0)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    load_checkpoint(net, tmp_path / "old.pth")
    assert has(net, state(2.0))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """An index, and two files beside it."""
    from safetensors.torch import save_file

    names = {"a.safetensors": ["stem", "norm"], "b.safetensors": ["head"]}
    index = {}
    for name, parts in names.items():
        part = {key: one for key, one in state().items() if key.partition(".")[0] in parts}
        save_file(part, tmp_path / name)
        index |= dict.fromkeys(part, name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return tmp_path / "model.safetensors.index.json"


def test_weights_in_several_files_are_joined(net: Any, shards: Path) -> None:
    load_checkpoint(net, shards)
    assert has(net, state())


def test_a_part_that_is_missing_is_named(net: Any, shards: Path) -> None:
    (shards.parent / "b.safetensors").unlink()
    with pytest.raises(ModelError, match=r"b\.safetensors cannot be read"):
        load_checkpoint(net, shards)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no index"),
        ('{"weight_map": 3}', "no index"),
        ('{"weight_map": {"a": "../x.pt"}}', "lie beside"),
        ('{"weight_map": {"a": "model.safetensors.index.json"}}', "lie beside"),
    ],
)
def test_an_index_that_is_none_or_leads_elsewhere_is_refused(net: Any, shards: Path, text: str, told: str) -> None:
    shards.write_text(text)
    with pytest.raises(ModelError, match=told):
        load_checkpoint(net, shards)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_pickled_whole_net_is_not_run_and_its_classes_are_named(net: Any, tmp_path: Path, is_new: bool) -> None:
    torch.save({"model": net}, tmp_path / "whole.pt", _use_new_zipfile_serialization=is_new)
    with pytest.raises(ModelError, match=r"pickled .*test_checkpoints\.Net.*run code.*torch\.save\(torch\.load"):
        load_checkpoint(net, tmp_path / "whole.pt")


def test_other_pickled_objects_are_named_with_the_way_to_the_weights(net: Any, tmp_path: Path) -> None:
    path = saved({"state_dict": state(), "args": argparse.Namespace(lr=1)}, tmp_path)
    with pytest.raises(
        ModelError, match=r"pickled Python objects \(argparse\.Namespace\).*\['state_dict'\], 'weights\.pt'"
    ):
        load_checkpoint(net, path)


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trap_was_run"),)


@pytest.mark.parametrize("is_new", [True, False])
def test_no_code_of_a_checkpoint_is_run(
    net: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": state(), "x": Trap()}, "c.pt", _use_new_zipfile_serialization=is_new)
    with pytest.raises(ModelError, match="run code"):
        load_checkpoint(net, Path("c.pt"))
    assert not Path("trap_was_run").exists()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n"


@pytest.mark.parametrize("name", ["c.pt", "c.safetensors", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"no checkpoint", "is no "),
        (b"\x80\x04.", "is no "),
        (POINTER, "is a Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(
    net: Any, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} {told}"):
        load_checkpoint(net, tmp_path / name)


@pytest.mark.parametrize("name", ["c.pt", "c.safetensors"])
def test_a_file_cut_short_is_told(net: Any, tmp_path: Path, name: str) -> None:
    from safetensors.torch import save_file

    (save_file if name.endswith("safetensors") else torch.save)(state(), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for length in (len(data) // 2, len(data) - 1):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(ModelError, match="copy or download it again"):
            load_checkpoint(net, tmp_path / name)


def test_a_folder_or_a_missing_file_is_told(net: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Is a directory"):
        load_checkpoint(net, tmp_path)
    with pytest.raises(ModelError, match="No such file"):
        load_checkpoint(net, tmp_path / "none.pt")


def test_a_program_given_as_a_checkpoint_is_told(net: Any, tmp_path: Path) -> None:
    image = torch.zeros(1, 4, 8, 8)
    torch.export.save(torch.export.export(net.head, (image,)), tmp_path / "net.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript calls itself deprecated
        torch.jit.trace(net.head, image).save(tmp_path / "net.pt")
    for name, told in (("net.pt2", "a program of torch.export"), ("net.pt", "a TorchScript program")):
        with pytest.raises(ModelError, match=rf"{told}.*edgeseg export {name}"):
            load_checkpoint(net, tmp_path / name)


def test_an_exported_program_takes_no_checkpoint(net: Any, tmp_path: Path) -> None:
    program = torch.export.export(net.head, (torch.zeros(1, 4, 8, 8),))
    with pytest.raises(ModelError, match="exported program, which holds its weights"):
        load_checkpoint(program, saved(state(), tmp_path))


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {}, torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(net: Any, tmp_path: Path, content: object) -> None:
    with pytest.raises(ModelError, match="no state dict"):
        load_checkpoint(net, saved(content, tmp_path))


def test_keys_that_do_not_fit_are_counted_and_listed_with_the_nearest_name(net: Any, tmp_path: Path) -> None:
    weights = {key.replace("head", "haed"): one for key, one in state().items()}
    told = (
        r"2 of the net's tensors are missing: head\.weight \(nearest in the file: haed\.weight\), head\.bias .*; "
        r"2 are not in the net: haed\.weight, haed\.bias: make the net as it was trained"
    )
    with pytest.raises(ModelError, match=told):
        load_checkpoint(net, saved({"state_dict": weights}, tmp_path))


def test_of_many_keys_the_first_few_are_listed(tmp_path: Path) -> None:
    deep = torch.nn.Sequential(*[torch.nn.Conv2d(1, 1, 1) for _ in range(9)])
    with pytest.raises(ModelError, match=r"18 of the net's tensors are missing: 0\.weight, .* and 13 more; 9 are not"):
        load_checkpoint(deep, saved({f"layer{index}": torch.ones(1) for index in range(9)}, tmp_path))


def test_weights_of_another_net_altogether_are_listed_too(net: Any, tmp_path: Path) -> None:
    other = {"optimizer": {"a": torch.ones(1)}, "model": {"conv1.weight": torch.ones(1), "fc.bias": torch.ones(1)}}
    with pytest.raises(ModelError, match=r"its model\) does not fit.*missing: stem\.weight.*conv1\.weight, fc\.bias"):
        load_checkpoint(net, saved(other, tmp_path))


@pytest.mark.parametrize(("argument", "hint"), [("num_classes", "--arg num_classes=5"), (None, "with 5 classes")])
def test_another_number_of_classes_is_told_with_the_argument_that_sets_it(
    net: Any, tmp_path: Path, argument: str | None, hint: str
) -> None:
    with pytest.raises(ModelError, match=rf"has 5 classes \(head\.bias\), the net was made with 3: .*{hint}"):
        load_checkpoint(net, saved(state(classes=5), tmp_path), class_argument=argument)


def test_another_number_of_classes_is_compared_with_the_labels(net: Any, tmp_path: Path) -> None:
    path = saved(state(classes=5), tmp_path)
    with pytest.raises(ModelError, match=r"has 5 classes .* made with 3, 4 are expected"):
        load_checkpoint(net, path, expected_classes=4)
    with pytest.raises(ModelError, match="made with 3: "):
        load_checkpoint(net, path, expected_classes=5)


def test_a_transposed_classifier_tells_the_number_of_classes_too(tmp_path: Path) -> None:
    weights = torch.nn.ConvTranspose2d(4, 5, 2).state_dict()
    with pytest.raises(ModelError, match=r"has 5 classes .* made with 3"):
        load_checkpoint(torch.nn.ConvTranspose2d(4, 3, 2), saved(weights, tmp_path))


@pytest.mark.parametrize("arguments", [{"width": 6}, {"channels": 1}, {"classes": 5, "width": 6}])
def test_other_shapes_are_listed_with_both_and_taken_for_no_classes(
    net: Any, tmp_path: Path, arguments: dict[str, int]
) -> None:
    with pytest.raises(ModelError, match=r"stem\.weight is \(.*\) in the file and \(4, 3, 3, 3\) in the net.*--arg"):
        load_checkpoint(net, saved(state(**arguments), tmp_path))


def test_a_net_that_renames_old_keys_itself_is_let_do_so(tmp_path: Path) -> None:
    class Renaming(Net):
        def _load_from_state_dict(self, state_dict: State, prefix: str, *args: Any) -> None:
            for key in [key for key in state_dict if key.startswith("classifier.")]:
                state_dict[key.replace("classifier", "head")] = state_dict.pop(key)
            super()._load_from_state_dict(state_dict, prefix, *args)

    net = Renaming()
    load_checkpoint(net, saved({key.replace("head", "classifier"): one for key, one in state().items()}, tmp_path))
    assert has(net, state())
