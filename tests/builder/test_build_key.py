"""What counts as the same build, in the library; the command line is in tests/cli/test_build_engine.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.tensorrt import TensorRTOptions
from edgeseg.builder.build import BuildOptions, VerifyOptions, build_engine
from edgeseg.builder.build_key import build_key
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.promise import Promise
from edgeseg.builder.source import ReadyModel, SourceOptions
from edgeseg.graph.preparing import PrepareOptions
from edgeseg.sidecars import read_engine_spec, sidecar_bytes, sidecar_path, write_with_sidecar
from edgeseg.spec import FrameOptions, ProfileSpec

Change = Callable[[BuildOptions, Path], BuildOptions]
PROFILE = ProfileSpec(minimum=(1, 32, 64), optimum=(1, 32, 64), maximum=(1, 64, 64))
KEY = """
import sys
from pathlib import Path
from edgeseg.builder.backends import open_backend
from edgeseg.builder.build import BuildOptions
from edgeseg.builder.build_key import build_key
from edgeseg.builder.measuring import CalibrationOptions
options = BuildOptions(backend="openvino", precision="int8", calibration=CalibrationOptions(source=Path("pictures")))
print(build_key(Path(sys.argv[1]), options, open_backend("openvino")))
"""


def key_of(onnx: Path, options: BuildOptions) -> str:
    return build_key(onnx, options, open_backend("openvino"))


def int8(images: Path) -> BuildOptions:
    return BuildOptions(backend="openvino", precision="int8", calibration=CalibrationOptions(source=images))


def copied(chain: Any, folder: Path, name: str = "net.onnx") -> Path:
    folder.mkdir(exist_ok=True)
    shutil.copy(chain.onnx, folder / name)
    shutil.copy(sidecar_path(chain.onnx), sidecar_path(folder / name))
    return folder / name


def test_the_key_is_the_same_in_another_process_and_folder_and_under_other_names(chain: Any, tmp_path: Path) -> None:
    net = copied(chain, tmp_path / "elsewhere", "other.onnx")
    shutil.copytree(chain.images, net.parent / "pictures")
    done = subprocess.run(
        [sys.executable, "-c", KEY, net.name], cwd=net.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == key_of(chain.onnx, int8(chain.images))


def with_labels(options: BuildOptions, folder: Path) -> BuildOptions:
    (folder / "labels.json").write_text(json.dumps({"classes": [{"name": "a", "colour": [0, 0, 0]}]}))
    return replace(options, source=SourceOptions(ready=ReadyModel(labels=folder / "labels.json")))


def with_fewer_images(options: BuildOptions, folder: Path) -> BuildOptions:
    assert options.calibration is not None
    shutil.copytree(options.calibration.source, folder / "fewer")
    next((folder / "fewer").iterdir()).unlink()
    return replace(options, calibration=replace(options.calibration, source=folder / "fewer"))


def with_calibration(**words: Any) -> Change:
    def changed(options: BuildOptions, _: Path) -> BuildOptions:
        assert options.calibration is not None
        return replace(options, calibration=replace(options.calibration, **words))

    return changed


def with_verify(least: float | None) -> Change:
    def changed(options: BuildOptions, _: Path) -> BuildOptions:
        assert options.calibration is not None
        return replace(options, verify=VerifyOptions(source=options.calibration.source, min_agreement=least))

    return changed


def with_promise(options: BuildOptions, folder: Path) -> BuildOptions:
    assert options.calibration is not None
    for name in ("images", "labels"):
        (folder / "set" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(next(options.calibration.source.iterdir()), folder / "set" / name / "000.png")
    return replace(options, promise=Promise(max_miou_drop=1.0, data=folder / "set", layout="plain"))


CHANGES: dict[str, Change] = {
    "precision": lambda options, _: replace(options, precision="bf16", calibration=None),
    "no precision": lambda options, _: replace(options, precision=None),
    "kept": lambda options, _: replace(options, kept=("conv",)),
    "profiles": lambda options, _: replace(options, profiles=(PROFILE,)),
    "scores": lambda options, _: replace(options, scores="float16"),
    "method": with_calibration(method="entropy"),
    "every": with_calibration(every=2),
    "images": with_fewer_images,
    "tail": lambda options, _: replace(options, source=SourceOptions(prepare=PrepareOptions(keep_tail=True))),
    "frame": lambda options, _: replace(
        options, source=SourceOptions(ready=ReadyModel(frame=FrameOptions(colour="BGR")))
    ),
    "labels": with_labels,
    "promise": with_promise,
    "verify": with_verify(None),
    "verify more strictly": with_verify(0.9),
    "tensorrt": lambda options, _: replace(options, tensorrt=TensorRTOptions(optimization_level=1)),
}


def test_everything_that_decides_the_result_gives_another_key(chain: Any, tmp_path: Path) -> None:
    plain = int8(chain.images)
    keys = {"plain": key_of(chain.onnx, plain)}
    for name, change in CHANGES.items():
        keys[name] = key_of(chain.onnx, change(plain, tmp_path))
    assert len(set(keys.values())) == len(keys), keys


def test_the_contents_of_net_sidecar_and_labels_count(chain: Any, tmp_path: Path) -> None:
    net = copied(chain, tmp_path)
    labelled = with_labels(BuildOptions(backend="openvino"), tmp_path)
    keys = [key_of(net, labelled)]
    (tmp_path / "labels.json").write_text("{}")
    keys.append(key_of(net, labelled))
    text = sidecar_path(net).read_text()
    sidecar_path(net).write_text(text.replace('"class', '"klass'))
    keys.append(key_of(net, labelled))
    import onnx

    model = onnx.load(net)
    model.graph.node[0].name += "_"
    onnx.save(model, net)
    keys.append(key_of(net, labelled))
    assert len(set(keys)) == 4


def test_weights_beside_the_net_count(chain: Any, tmp_path: Path) -> None:
    import onnx

    net = tmp_path / "net.onnx"
    onnx.save(onnx.load(chain.onnx), net, save_as_external_data=True, location="net.bin", size_threshold=0)
    before = key_of(net, BuildOptions(backend="openvino"))
    data = bytearray((tmp_path / "net.bin").read_bytes())
    data[-1] ^= 1
    (tmp_path / "net.bin").write_bytes(data)
    assert key_of(net, BuildOptions(backend="openvino")) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda options, folder: replace(options, is_forced=True),
        lambda options, folder: replace(options, tensorrt=TensorRTOptions()),
        lambda options, folder: replace(options, tensorrt=TensorRTOptions(timing_cache=folder)),
        lambda options, folder: with_calibration(file=folder / "ranges.json")(options, folder),
    ],
    ids=["forced", "default options", "timing cache", "place of the ranges"],
)
def test_what_decides_nothing_leaves_the_key(chain: Any, tmp_path: Path, change: Change) -> None:
    plain = int8(chain.images)
    assert key_of(chain.onnx, change(plain, tmp_path)) == key_of(chain.onnx, plain)


def built_again(net: Path, target: Path, **words: Any) -> bool:
    """Whether a build wrote the target; by its time, which a build cannot leave as it is."""
    before = target.stat().st_mtime_ns if target.exists() else None
    build_engine(net, target, BuildOptions(backend="openvino", **words))
    return target.stat().st_mtime_ns != before


def test_an_unchanged_build_is_skipped_until_it_is_forced(chain: Any, tmp_path: Path) -> None:
    net, target, told = copied(chain, tmp_path), tmp_path / "net.engine", list[str]()
    assert built_again(net, target)
    assert not built_again(net, target)
    assert built_again(net, target, is_forced=True)
    spec = build_engine(net, target, BuildOptions(backend="openvino"), note=told.append)
    assert spec == read_engine_spec(target)[0]
    assert told == [f"{target} is of the same inputs already, nothing is built; --force builds it again"]


def damage_plan(target: Path) -> None:
    target.write_bytes(target.read_bytes()[:-1])


def lose_weights(target: Path) -> None:
    """As if it were a stripped plan whose weights went away."""
    spec, plan = read_engine_spec(target)
    write_with_sidecar(
        target, plan, type(spec)(**{**vars_of(spec), "portability": type(spec.portability)(weights_sha256="0" * 64)})
    )


def vars_of(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (damage_plan, "net.engine has"),
        (lambda target: target.unlink(), "net.engine cannot be read"),
        (lambda target: sidecar_path(target).unlink(), "net.engine.json cannot be read"),
        (lambda target: sidecar_path(target).write_text("{"), "net.engine.json is not a valid sidecar"),
        (lose_weights, "net.engine.onnx has sha256 none where 000000000000 is expected"),
    ],
    ids=["cut short", "no engine", "no sidecar", "broken sidecar", "no weights"],
)
def test_a_damaged_engine_is_built_again_and_it_is_said_why(
    chain: Any, tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    net, target, notes = copied(chain, tmp_path), tmp_path / "net.engine", list[str]()
    options = BuildOptions(backend="openvino")
    first = build_engine(net, target, options)
    damage(target)
    assert build_engine(net, target, options, note=notes.append).build_key == first.build_key
    assert read_engine_spec(target)[0].build_key == first.build_key
    assert [one for one in notes if told in one] != []


def test_an_engine_of_a_time_before_keys_is_built_again(chain: Any, tmp_path: Path) -> None:
    net, target = copied(chain, tmp_path), tmp_path / "net.engine"
    spec = build_engine(net, target, BuildOptions(backend="openvino"))
    old = type(spec)(**{**vars_of(spec), "build_key": None})
    sidecar_path(target).write_bytes(sidecar_bytes(old))
    assert built_again(net, target)


def test_a_skipped_build_needs_neither_torch_nor_a_calibration(chain: Any, tmp_path: Path) -> None:
    net = copied(chain, tmp_path)
    options = replace(int8(chain.images), calibration=CalibrationOptions(source=chain.images, file=tmp_path / "r.json"))
    build_engine(net, tmp_path / "net.engine", options)
    (tmp_path / "r.json").unlink()
    program = f"""
import sys
for name in ("torch", "modelopt", "onnxruntime", "onnxslim"):
    sys.modules[name] = None
from pathlib import Path
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
options = BuildOptions(
    backend="openvino",
    precision="int8",
    calibration=CalibrationOptions(source=Path({str(chain.images)!r}), file=Path("r.json")),
)
build_engine(Path("net.onnx"), Path("net.engine"), options, note=print)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "nothing is built" in done.stdout, done.stderr
    assert not (tmp_path / "r.json").exists()
