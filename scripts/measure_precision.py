"""Own docs/precision.md and its figures: which nets, on which frames, in what order, written where. Judge nothing.

    python scripts/measure_precision.py [NAME ...] [--without-timing | --timing-alone | --page-alone]

Five built-in nets, trained as for docs/nets.md, the demo net and the hard net are built in every precision, each net in
a process of its own. The figures go to docs/precision.json, the page is made of them and of precision.md.j2.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jinja2
import msgspec
import net_precision
from hard_net import hard_net, trained_demo_net
from net_lab import export
from net_precision import (
    METHODS,
    PROMISED_DROP,
    Accuracies,
    Bench,
    EngineFigures,
    Frames,
    NetPrecision,
    PromiseFigures,
    Speed,
)
from torch import nn
from trained_nets import TRAINED_STEPS, TRAINED_WIDTH, TRAININGS, Training, trained_net

from edgeseg.accuracy import LEAST_RATIO
from edgeseg.calib_data.generate import Counts, generate
from edgeseg.data import shipped_data
from edgeseg.export.catalogue import BUILT_IN, BuiltIn
from edgeseg.export.measured import Machine
from edgeseg.export.nets.demo_unet import INPUT_SIZE_HW
from edgeseg.files import write_atomically
from edgeseg.imaging.images import read_image
from edgeseg.report.environment import read_environment

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "precision"
FIGURES_PATH, PAGE_PATH = ROOT / "docs" / "precision.json", ROOT / "docs" / "precision.md"
#: plain, depthwise, with unpooling, dilated with a pyramid, with pooled context
CHOSEN = ("unet-mini", "mobilenet-unet", "segnet", "deeplab-v3-plus", "pspnet")
#: sets of streets; the shipped frames and the training are of set 0
PROMISE_SEED, JUDGED_SEED = 1, 2
JUDGED_FRAMES, CALIBRATION_FRAMES = 48, 32
PACKAGES = ("torch", "onnxruntime", "openvino", "nvidia-modelopt", "tensorrt-rtx")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A net of the page, and how it is made, trained."""

    net: BuiltIn
    size_hw: tuple[int, int]
    make: Callable[[], nn.Module]


class PrecisionFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All figures of the page; nets in its order."""

    machine: Machine
    nets: dict[str, NetPrecision]


def _built_in(one: BuiltIn) -> Subject:
    training = TRAININGS.get(one.name, Training())
    return Subject(net=one, size_hw=training.size_hw, make=lambda: trained_net(one, training))


def _demo(name: str, title: str, make: Callable[[], nn.Module]) -> Subject:
    net = BuiltIn(
        name=name, factory=f"{make.__module__}:{make.__name__}", size_hw=INPUT_SIZE_HW, title=title, source=""
    )
    return Subject(net=net, size_hw=INPUT_SIZE_HW, make=make)


SUBJECTS: Mapping[str, Subject] = {
    **{name: _built_in(BUILT_IN[name]) for name in CHOSEN},
    "demo": _demo("demo", "the shipped demo net", trained_demo_net),
    "hard": _demo("hard", "the demo net made hard to quantise", hard_net),
}


def main() -> None:
    """Measure the nets that are named, or all; one net in this process, several in one each."""
    parser = argparse.ArgumentParser(description="Measure nets in every precision; write the figures and their page.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUBJECTS)} (default: all)")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--without-timing", action="store_true", help="build and judge alone")
    part.add_argument("--timing-alone", action="store_true", help="time what is built; wants a quiet machine")
    part.add_argument("--page-alone", action="store_true", help="write the page of the figures that are there")
    options = parser.parse_args()
    names = options.names or list(SUBJECTS)
    unknown = sorted(set(names) - set(SUBJECTS))
    if unknown:
        parser.error(f"there is no net '{unknown[0]}' here; choose of {', '.join(SUBJECTS)}")
    if not options.page_alone:
        _measure_all(names, options)
    _write_page()


def _measure_all(names: list[str], options: argparse.Namespace) -> None:
    frames = held_out(WORK)
    if len(names) == 1:
        _measure(names[0], frames, options)
        return
    switches = [f"--{name.replace('_', '-')}" for name, value in vars(options).items() if value is True]
    for name in names:
        subprocess.run([sys.executable, __file__, name, *switches], check=True)


def held_out(folder: Path) -> Frames:
    """Two sets of streets that neither training nor calibration has seen; drawn once."""
    for seed in (PROMISE_SEED, JUDGED_SEED):
        if not (_streets(folder, seed) / "manifest.json").exists():
            counts = Counts(calibration=CALIBRATION_FRAMES, validation=JUDGED_FRAMES, clip=1)
            generate(_streets(folder, seed), set_seed=seed, counts=counts)
    promise, judged = _streets(folder, PROMISE_SEED), _streets(folder, JUDGED_SEED)
    return Frames(calibration=shipped_data(), promise=promise, judged=judged)


def _streets(folder: Path, seed: int) -> Path:
    return folder / f"streets-{seed}"


def _measure(name: str, frames: Frames, options: argparse.Namespace) -> None:
    bench = Bench(folder=WORK / name, frames=frames)
    if options.timing_alone:
        found = read_figures().nets[name]
    else:
        _export(SUBJECTS[name], bench)
        found = NetPrecision(accuracies=net_precision.accuracies(bench))
        _keep(name, found)
    if not options.without_timing:
        speeds, load = net_precision.speeds(bench, found.accuracies)
        _keep(name, msgspec.structs.replace(found, speeds=speeds, load=load))


def _export(subject: Subject, bench: Bench) -> None:
    bench.folder.mkdir(parents=True, exist_ok=True)
    sample = read_image(shipped_data() / "validation" / "images" / "0000.jpg")
    export(subject.make(), subject.net, subject.size_hw, sample, bench.onnx)


def read_figures() -> PrecisionFigures:
    """What docs/precision.json holds."""
    return msgspec.json.decode(FIGURES_PATH.read_bytes(), type=PrecisionFigures)


def _keep(name: str, found: NetPrecision) -> None:
    nets = dict(read_figures().nets) if FIGURES_PATH.exists() else {}
    nets[name] = found
    environment = read_environment()
    machine = Machine(
        cpu=environment.cpu,
        cores=environment.usable_cores,
        date=str(datetime.date.today()),
        versions={one: version(one).partition("+")[0] for one in PACKAGES},
    )
    figures = PrecisionFigures(machine=machine, nets={one: nets[one] for one in SUBJECTS if one in nets})
    write_atomically(FIGURES_PATH, msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


def _write_page() -> None:
    write_atomically(PAGE_PATH, page(read_figures()).encode())


def page(figures: PrecisionFigures) -> str:
    """docs/precision.md, out of figures and the template beside this script."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    jinja = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    jinja.filters |= {"percent": _percent}
    return jinja.get_template("precision.md.j2").render(
        figures=figures,
        subjects=SUBJECTS,
        methods=METHODS,
        promised=PROMISED_DROP,
        lost=_lost,
        losses=_losses,
        kept=_kept,
        speed=_speed,
        timed=[one for one in METHODS if any(f"promise-{one}" in net.speeds for net in figures.nets.values())],
        misses=misses(figures.nets),
        width=TRAINED_WIDTH,
        steps=TRAINED_STEPS,
        frames=JUDGED_FRAMES,
        calibration_frames=CALIBRATION_FRAMES,
        least_ratio=LEAST_RATIO,
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _lost(reference: float, share: float) -> str:
    """Percentage points; below 0 is a gain."""
    return f"{round((reference - share) * 100, 2) + 0.0:.2f}"  # no -0.00


def _losses(net: Accuracies, one: EngineFigures | None) -> str:
    if one is None:
        return "-"
    return f"{_lost(net.fp32.miou, one.miou)} ({_lost(net.fp32.boundary_miou, one.boundary_miou)})"


def _kept(promise: PromiseFigures) -> str:
    named = [f"`{one}`" for one in promise.kept_layers]
    return ", ".join([*named, *promise.kept_others]) or "none"


def _speed(net: NetPrecision, name: str) -> str:
    """A promise that kept nothing is plain INT8 and was not timed."""
    if name in net.speeds:
        one = net.speeds[name]
        return f"{one.ratio:.2f}x ({one.lowest:.2f} to {one.highest:.2f})"
    promised = [one.method for one in net.accuracies.promises if one.refused is None]
    return "as INT8" if name.removeprefix("promise-") in promised else "-"


def misses(nets: Mapping[str, NetPrecision]) -> list[str]:
    """A sentence for everything that was promised or hoped for and did not come."""
    found = []
    for name, one in nets.items():
        found += [text for promise in one.accuracies.promises for text in _broken(name, one, promise)]
        found += _slow(name, one.speeds)
    return found


def _broken(name: str, net: NetPrecision, promise: PromiseFigures) -> list[str]:
    called = f"`{name}`, ranges by {promise.method}"
    if promise.refused is not None or promise.engine is None:
        return [f"{called}: there is no engine that keeps the promise: {promise.refused}."]
    if not promise.engine.quantised_layers:
        return [f"{called}: the promise leaves no layer in INT8."]
    lost = (net.accuracies.fp32.miou - promise.engine.miou) * 100
    if lost > PROMISED_DROP:
        on_its_own = (promise.reference_miou - promise.promised_miou) * 100
        return [f"{called}: {on_its_own:.2f} points are lost on the search's frames, {lost:.2f} on the others."]
    return []


def _slow(name: str, speeds: Mapping[str, Speed]) -> list[str]:
    """INT8 against the fastest of the others, as ``edgeseg evaluate`` has it."""
    higher = {kind: speeds[kind].p50_ms for kind in ("fp32", "bf16") if kind in speeds}
    found = []
    for kind, one in speeds.items():
        if kind not in higher:
            best = min(higher, key=lambda rival: higher[rival])
            if higher[best] / one.p50_ms < LEAST_RATIO:
                words = "INT8" if kind == "int8-max" else f"INT8 with the promise ({kind.partition('-')[2]})"
                found.append(f"`{name}`: {words} is {higher[best] / one.p50_ms:.2f}x as fast as {best.upper()}.")
    return found


if __name__ == "__main__":
    main()
