"""Own the nets that installed packages know by name: torchvision's, smp's, transformers'. Download nothing."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgeseg.errors import MissingPackageError, ModelError
from edgeseg.export.factories import Loaded, call_factory, fault_text, nearest
from edgeseg.export.misfits import Misfit, misfit_error, some
from edgeseg.export.weight_files import read_weights
from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["PACKAGES", "load_named", "load_renamed"]

NO_DOWNLOAD = "edgeseg downloads nothing: leave it out, and give the weights' file as --checkpoint"
#: how Hugging Face's folders name their weights
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SEGMENTING = "ForSemanticSegmentation"


def load_named(package: str, what: str, arguments: Mapping[str, object]) -> Loaded:
    """Make the net that ``package`` calls ``what``.

    Args:
        package: a key of PACKAGES.
        what: the package's own name; of transformers also a folder or a ``config.json``.
        arguments: keyword arguments of the package's factory; of transformers of the net's configuration.
    Returns:
        The net as the package makes it: random weights, but for a folder of transformers that holds some.
    Raises:
        ModelError: there is no such net, it does not take the arguments, or it would have to be downloaded.
        MissingPackageError: the package is not installed.
    """
    return PACKAGES[package](what, arguments)


def load_renamed(module: nn.Module, weights: Mapping[str, Tensor]) -> Misfit | None:
    """Load weights into a net of transformers by its own loader, whose releases know each other's names of layers.

    Args:
        module: changed in place, if it is such a net.
        weights: of this net, as another release or ``save_pretrained`` calls them.
    Returns:
        What did not fit; None for any other net.
    """
    transformers = sys.modules.get("transformers")
    if transformers is None or not isinstance(module, transformers.PreTrainedModel):
        return None
    with _offline(transformers):
        renamed, report = type(module).from_pretrained(
            None, config=module.config, state_dict=dict(weights), output_loading_info=True, ignore_mismatched_sizes=True
        )
    module.load_state_dict(renamed.state_dict())
    return _misfit(report)


def _torchvision(what: str, arguments: Mapping[str, object]) -> Loaded:
    models = _package("torchvision.models")
    _check_name(what, models.list_models(module=models.segmentation), "torchvision has no segmentation net")
    _refuse_downloads(arguments, "weights", "weights_backbone")
    make = models.get_model_builder(what)
    _refuse_unknown(f"torchvision:{what}", arguments, _named_arguments(make))  # which builders ignore
    net = call_factory(f"torchvision:{what}", make, {"weights": None, "weights_backbone": None, **arguments})
    return Loaded(net=net, class_argument="num_classes")


def _smp(what: str, arguments: Mapping[str, object]) -> Loaded:
    smp = _package("segmentation_models_pytorch")
    nets = {name: kind for name, kind in vars(smp).items() if _is_smp_net(smp, kind)}
    _check_name(what, nets, "segmentation_models_pytorch has no net")
    _refuse_downloads(arguments, "encoder_weights")
    encoder = str(arguments.get("encoder_name", ""))
    if not encoder.startswith("tu-"):  # timm's, which take timm's own arguments; others ignore what they do not know
        _refuse_unknown(f"smp:{what}", arguments, _named_arguments(nets[what]))
        if encoder:
            _check_name(encoder, smp.encoders.get_encoder_names(), "segmentation_models_pytorch has no encoder")
    net = call_factory(f"smp:{what}", nets[what], {"encoder_weights": None, **arguments})
    return Loaded(net=net, class_argument="classes")


def _is_smp_net(smp: ModuleType, kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, smp.base.SegmentationModel)


def _timm(what: str, _arguments: Mapping[str, object]) -> Loaded:
    raise ModelError(
        f"timm has backbones and no segmentation nets, 'timm:{what}' would give no mask",
        f"take it as an encoder of segmentation_models_pytorch: smp:Unet --arg encoder_name=tu-{what}",
    )


def _transformers(what: str, arguments: Mapping[str, object]) -> Loaded:
    transformers = _package("transformers")
    if importlib.util.find_spec("torchvision") is not None:
        _package("torchvision")  # transformers would import it later, and hide why that fails
    path = Path(what)
    with _offline(transformers):
        if path.exists():
            return _from_folder(transformers, path, arguments)
        return _from_class(transformers, what, arguments)


def _from_class(transformers: ModuleType, what: str, arguments: Mapping[str, object]) -> Loaded:
    name = f"transformers:{what}"
    names = [one for one in dir(transformers) if one.endswith(SEGMENTING) and not one.startswith("Auto")]
    if what not in names:
        raise ModelError(
            f"transformers has no segmentation net '{what}', and there is no such folder or config.json",
            f"{nearest(what, names)}; edgeseg downloads nothing: of a net on a hub, name the folder of a copy",
        )
    kind = getattr(transformers, what)

    def make(**given: object) -> Any:
        default, unknown = kind.config_class.from_dict({}, return_unused_kwargs=True, **given)
        _refuse_unknown(name, unknown, _fields(default))
        return kind(kind.config_class(**given))

    return Loaded(net=call_factory(name, make, arguments), class_argument="num_labels")


def _from_folder(transformers: ModuleType, path: Path, arguments: Mapping[str, object]) -> Loaded:
    """The net of a folder, with its weights if it has some; of a config.json alone, without."""
    name = f"transformers:{path}"
    weights = next((path / one for one in WEIGHTS if (path / one).is_file()), None)
    if weights is not None:
        read_weights(weights)  # for its messages about files that are none
    notes: list[str] = []

    def make(**given: object) -> Any:
        read = {"local_files_only": True, "trust_remote_code": False}
        config, unknown = transformers.AutoConfig.from_pretrained(path, return_unused_kwargs=True, **read, **given)
        _refuse_unknown(name, unknown, _fields(config))
        auto = transformers.AutoModelForSemanticSegmentation
        if weights is None:
            return auto.from_config(config, trust_remote_code=False)
        net, report = auto.from_pretrained(
            path, config=config, output_loading_info=True, ignore_mismatched_sizes=True, **read
        )
        notes.extend(_check_report(weights, report))
        return net

    net = call_factory(name, make, arguments)
    return Loaded(net=net, notes=tuple(notes), has_weights=weights is not None, class_argument="num_labels")


def _check_report(weights: Path, report: Mapping[str, Any]) -> Iterator[str]:
    """transformers makes up what a file does not hold, with random numbers; here that is an error."""
    misfit = _misfit(report)
    if misfit.missing or misfit.shapes:
        raise misfit_error(str(weights), misfit, class_argument="num_labels")
    if misfit.extra:
        yield f"left out, as the net that config.json describes has them not: {some(misfit.extra)}"


def _misfit(report: Mapping[str, Any]) -> Misfit:
    shapes = {key: (tuple(of_file), tuple(of_net)) for key, of_file, of_net in report["mismatched_keys"]}
    return Misfit(sorted(set(report["missing_keys"]) - shapes.keys()), sorted(report["unexpected_keys"]), shapes)


@contextmanager
def _offline(transformers: ModuleType) -> Iterator[None]:
    """Keep Hugging Face's libraries from the network, which a configuration's backbone would take them to."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    logging = transformers.utils.logging
    was_offline, had_bars = constants.HF_HUB_OFFLINE, logging.is_progress_bar_enabled()
    constants.HF_HUB_OFFLINE = True
    logging.disable_progress_bar()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        if had_bars:
            logging.enable_progress_bar()


def _package(module: str) -> ModuleType:
    name = module.partition(".")[0]
    try:
        return _import(module)
    except (ImportError, OSError, RuntimeError) as error:
        fitting = f", in the version that is made for torch {require('torch').__version__}"
        raise MissingPackageError(
            f"{name} cannot be imported ({fault_text(error)})", f"pip install {name.replace('_', '-')}{fitting}"
        ) from error


def _import(module: str) -> ModuleType:
    """Import, also where torchvision's compiled operators do not fit torch, as PyPI's beside torch's CPU build.

    Its import then fails at operators that it registers shapes for (0.28). No segmentation net calls them: once they
    are declared, it imports.
    """
    try:
        return importlib.import_module(module)
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            require("torch").library.define(f"torchvision::{operator}", signature)
        return importlib.import_module(module)


def _check_name(name: str, names: Collection[str], problem: str) -> None:
    if name not in names:
        raise ModelError(f"{problem} '{name}'", nearest(name, names))


def _refuse_unknown(name: str, given: Iterable[str], known: Collection[str]) -> None:
    for one in given:
        if one not in known:
            raise ModelError(f"{name} takes no argument '{one}'", nearest(one, known))


def _named_arguments(factory: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(factory).parameters.values()
    return [one.name for one in parameters if one.kind != one.VAR_KEYWORD]


def _fields(config: Any) -> list[str]:
    return [*config.to_dict(), "num_labels"]


def _refuse_downloads(arguments: Mapping[str, object], *names: str) -> None:
    for name in names:
        if arguments.get(name) is not None:
            raise ModelError(f"{name}={arguments[name]!r} would be downloaded", NO_DOWNLOAD)


#: what may stand before the colon: how its nets are made
PACKAGES: Mapping[str, Callable[[str, Mapping[str, object]], Loaded]] = {
    "torchvision": _torchvision,
    "smp": _smp,
    "segmentation_models_pytorch": _smp,
    "timm": _timm,
    "transformers": _transformers,
}
