"""Nets by name. Where their packages are absent, as beside `make test`, that is told; the rest is `make test-zoo`'s."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import MissingPackageError, ModelError
from edgeseg.export.checkpoints import load_checkpoint
from edgeseg.export.loading import load_net

torch = pytest.importorskip("torch")

TINY = {
    "num_labels": 5,
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "decoder_hidden_size": 16,
    "num_attention_heads": [1, 1, 1, 1],
}
SEGFORMER = "transformers:SegformerForSemanticSegmentation"
LRASPP = "torchvision:lraspp_mobilenet_v3_large"


def needs(package: str) -> pytest.MarkDecorator:
    is_absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(is_absent, reason=f"{package} is not installed: make test-zoo")


torchvision = needs("torchvision")
smp = needs("segmentation_models_pytorch")
transformers = needs("transformers")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (LRASPP, "torchvision cannot be imported.*pip install torchvision"),
        ("smp:Unet", "pip install segmentation-models-pytorch"),
        ("segmentation_models_pytorch:Unet", "pip install segmentation-models-pytorch"),
        (SEGFORMER, "pip install transformers"),
    ],
)
def test_a_missing_package_is_told_by_its_own_name(monkeypatch: pytest.MonkeyPatch, name: str, told: str) -> None:
    for package in ("torchvision", "torchvision.models", "segmentation_models_pytorch", "transformers"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=told):
        load_net(name, {})


def test_timm_has_no_nets_of_its_own_and_the_way_to_its_backbones_is_told() -> None:
    with pytest.raises(ModelError, match=r"smp:Unet --arg encoder_name=tu-resnet18"):
        load_net("timm:resnet18", {})


@torchvision
def test_torchvisions_nets_are_made_without_a_download() -> None:
    loaded = load_net(LRASPP, {"num_classes": 19})
    assert loaded.net(torch.zeros(1, 3, 64, 64))["out"].shape == (1, 19, 64, 64)
    assert (loaded.class_argument, loaded.has_weights) == ("num_classes", False)


@torchvision
@smp
@transformers
@pytest.mark.parametrize("name", [LRASPP, "smp:Unet", SEGFORMER])
def test_torchvision_is_imported_where_its_operators_do_not_fit_torch(name: str) -> None:
    """In a process of its own; other tests may have declared them already."""
    program = f"from edgeseg.export.loading import load_net; load_net('{name}', {{}})"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


@torchvision
@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("torchvision:lrasp_mobilenet_v3_large", {}, "nearest is lraspp_mobilenet_v3_large"),
        ("torchvision:resnet18", {}, "has no segmentation net 'resnet18'"),
        (LRASPP, {"weights": "DEFAULT"}, "weights='DEFAULT' would be downloaded.*--checkpoint"),
        (LRASPP, {"weights_backbone": "DEFAULT"}, "would be downloaded"),
        (LRASPP, {"classes": 19}, "takes no argument 'classes': nearest is num_classes"),
    ],
)
def test_what_torchvision_cannot_make_is_told(name: str, arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_net(name, arguments)


@torchvision
def test_a_checkpoint_of_another_number_of_classes_names_the_packages_argument(tmp_path: Path) -> None:
    torch.save(load_net(LRASPP, {"num_classes": 19}).net.state_dict(), tmp_path / "c.pt")
    loaded = load_net(LRASPP, {})
    with pytest.raises(ModelError, match=r"has 19 classes .* made with 21, 4 are expected: --arg num_classes=19"):
        load_checkpoint(loaded.net, tmp_path / "c.pt", class_argument=loaded.class_argument, expected_classes=4)


@smp
@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
@pytest.mark.parametrize("package", ["smp", "segmentation_models_pytorch"])
def test_smps_nets_are_made_without_a_download(encoder: str, package: str) -> None:
    loaded = load_net(f"{package}:Unet", {"encoder_name": encoder, "classes": 5})
    assert loaded.net(torch.zeros(1, 3, 64, 64)).shape == (1, 5, 64, 64)
    assert loaded.class_argument == "classes"


@smp
@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("smp:unet", {}, "nearest is Unet"),
        ("smp:from_pretrained", {}, "has no net 'from_pretrained'"),
        ("smp:Unet", {"encoder_name": "resnet81"}, "has no encoder 'resnet81': nearest is resnet"),
        ("smp:Unet", {"encoder_name": "tu-resnet181"}, r"Unknown model \(resnet181\)"),
        ("smp:Unet", {"encoder_name": "resnet18", "clases": 5}, "takes no argument 'clases': nearest is classes"),
        ("smp:Unet", {"encoder_name": "tu-resnet18", "clases": 5}, "fails with .*clases"),
        ("smp:Unet", {"encoder_weights": "imagenet"}, "would be downloaded"),
    ],
)
def test_what_smp_cannot_make_is_told(name: str, arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_net(name, arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small SegFormer as Hugging Face's library saves it."""
    torch.manual_seed(0)
    load_net(SEGFORMER, TINY).net.save_pretrained(tmp_path / "segformer")
    return tmp_path / "segformer"


def logits(net: Any) -> Any:
    with torch.inference_mode():
        return net(torch.full((1, 3, 64, 64), 0.5)).logits


@transformers
def test_a_net_of_transformers_is_made_from_its_class_and_configuration() -> None:
    loaded = load_net(SEGFORMER, TINY)
    assert logits(loaded.net).shape == (1, 5, 16, 16)
    assert (loaded.class_argument, loaded.has_weights) == ("num_labels", False)


@transformers
def test_a_folder_of_transformers_comes_with_its_weights(folder: Path) -> None:
    torch.manual_seed(0)
    net = load_net(SEGFORMER, TINY).net
    loaded = load_net(f"transformers:{folder}", {})
    assert torch.equal(logits(loaded.net), logits(net))
    assert loaded.has_weights
    assert loaded.notes == ()


@transformers
def test_a_configuration_alone_gives_a_net_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    for path in (folder, folder / "config.json"):
        loaded = load_net(f"transformers:{path}", {"num_labels": 7})
        assert logits(loaded.net).shape[1] == 7
        assert not loaded.has_weights


@transformers
def test_a_net_of_transformers_in_16_bits_becomes_float32(folder: Path) -> None:
    load_net(f"transformers:{folder}", {}).net.half().save_pretrained(folder)
    loaded = load_net(f"transformers:{folder}", {})
    assert loaded.net.dtype == torch.float32
    assert loaded.notes == ("the net's numbers are float16: converted to float32",)


@transformers
def test_pickled_weights_of_transformers_are_loaded_as_weights_only(folder: Path) -> None:
    net = load_net(f"transformers:{folder}", {}).net
    (folder / "model.safetensors").unlink()
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    assert torch.equal(logits(load_net(f"transformers:{folder}", {}).net), logits(net))
    torch.save({"args": argparse.Namespace()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="run code when they are loaded"):
        load_net(f"transformers:{folder}", {})


@transformers
def test_weights_that_transformers_would_make_up_are_an_error(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"has 5 classes .* made with 7: --arg num_labels=5"):
        load_net(f"transformers:{folder}", {"num_labels": 7})
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["decode_head.klassifier.bias"] = weights.pop("decode_head.classifier.bias")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 of the net's tensors are missing: .*nearest in the file: .*klassifier"):
        load_net(f"transformers:{folder}", {})


@transformers
def test_weights_that_the_net_does_not_have_are_left_out_and_named(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors") | {"auxiliary.weight": torch.ones(1)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (note,) = load_net(f"transformers:{folder}", {}).notes
    assert "auxiliary.weight" in note


@transformers
@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_checkpoint_with_the_names_of_another_release_of_transformers_fits(folder: Path, prefix: str) -> None:
    """``save_pretrained`` writes the names of old releases, which are not those of ``state_dict``."""
    from safetensors.torch import load_file

    weights = {prefix + key: one for key, one in load_file(folder / "model.safetensors").items()}
    torch.save({"state_dict": weights}, folder / "lightning.ckpt")
    net = load_net(SEGFORMER, TINY).net
    load_checkpoint(net, folder / "lightning.ckpt")
    assert torch.equal(logits(net), logits(load_net(f"transformers:{folder}", {}).net))
    other = load_net(SEGFORMER, {**TINY, "num_labels": 7}).net
    with pytest.raises(ModelError, match=r"has 5 classes .* made with 7"):
        load_checkpoint(other, folder / "lightning.ckpt")


@transformers
@pytest.mark.parametrize(
    ("what", "arguments", "told"),
    [
        ("SegformerForSemanticSegmentaton", {}, "nearest is SegformerForSemanticSegmentation"),
        ("BertModel", {}, "has no segmentation net 'BertModel'"),
        ("nvidia/segformer-b0", {}, "downloads nothing.*folder of a copy"),
        ("SegformerForSemanticSegmentation", {"num_label": 3}, "takes no argument 'num_label': nearest is num_labels"),
    ],
)
def test_what_transformers_cannot_make_is_told(what: str, arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_net(f"transformers:{what}", arguments)


@transformers
def test_a_configuration_that_is_none_is_told(tmp_path: Path) -> None:
    for text, told in (
        ("{", "not a valid JSON"),
        ("{}", "Unrecognized model"),
        ('{"model_type": "bert"}', "BertConfig"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ModelError, match=told):
            load_net(f"transformers:{tmp_path}", {})


@transformers
def test_code_in_a_folder_of_transformers_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "theirs.py").write_text(f"open({str(folder / 'was_run')!r}, 'w')")
    with pytest.raises(ModelError, match="contains custom code"):
        load_net(f"transformers:{folder}", {})
    with pytest.raises(ModelError, match="trust_remote_code"):
        load_net(f"transformers:{folder}", {"trust_remote_code": True})
    assert not (folder / "was_run").exists()


@transformers
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_git_lfs_pointer_in_a_folder_is_told(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")
    with pytest.raises(ModelError, match=name):
        load_net(f"transformers:{folder}", {})
