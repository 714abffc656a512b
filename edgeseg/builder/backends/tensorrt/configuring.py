"""Own the builder's configuration: every option set, heard and read back. Build nothing."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.builder.backends.base import OptionValue
from edgeseg.builder.backends.tensorrt.offers import member_of
from edgeseg.builder.backends.tensorrt.options import TensorRTOptions
from edgeseg.builder.backends.tensorrt.targets import Target
from edgeseg.errors import BuildError
from edgeseg.spec import ProfileSpec
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import Builder, IBuilderConfig, INetworkDefinition, ITensor, TrtEnum

__all__ = ["Configured", "configure", "used_options"]


class Configured:
    """A configuration in the making; whatever the library says against a setting refuses it."""

    def __init__(self, api: TrtApi, config: IBuilderConfig) -> None:
        self.api = api
        self.config = config

    def flag(self, name: str, option: str, *, is_on: bool = True) -> None:
        """Set or clear a flag, or raise BuildError with what the library said."""
        member = getattr(self.api.module.BuilderFlag, name)
        self._heard(option, lambda: (self.config.set_flag if is_on else self.config.clear_flag)(member))
        self._same(option, is_on, self.config.get_flag(member))

    def attribute(self, name: str, value: object, option: str) -> None:
        """Set a property; raise BuildError where another value is read back."""
        self._heard(option, lambda: setattr(self.config, name, value))
        self._same(option, value, getattr(self.config, name))

    def pool(self, name: str, size: int) -> None:
        """Set the limit of a memory pool in bytes."""
        pool, option = _enum(self.api, "MemoryPoolType", name), f"memory pool {name}"
        self._heard(option, lambda: self.config.set_memory_pool_limit(pool, size))
        self._same(option, size, self.config.get_memory_pool_limit(pool))

    def _heard(self, option: str, act: Callable[[], None]) -> None:
        with self.api.log.overheard() as said:
            act()
        if said.errors:
            raise BuildError(f"{self._who} refuses {option}: {said.errors[0]}", "leave it out, or give another value")

    def _same(self, option: str, wanted: object, found: object) -> None:
        if wanted != found:
            raise BuildError(
                f"{self._who} takes {found} for {option}, asked was {wanted}", "leave it out, or give that"
            )

    @property
    def _who(self) -> str:
        return f"{self.api.name} {self.api.version}"


def configure(
    api: TrtApi,
    builder: Builder,
    network: INetworkDefinition,
    options: TensorRTOptions,
    target: Target,
    profiles: tuple[ProfileSpec, ...],
) -> IBuilderConfig:
    """A configuration with everything that was asked for.

    Raises:
        BuildError: the library refuses an option or a profile, or takes another value.
    """
    made = Configured(api, builder.create_builder_config())
    for pool, size in options.pools:
        made.pool(pool, size)
    _set_search(made, options)
    _set_kind(made, options)
    _set_targets(made, target)
    _set_formats(api, network, options)
    _refuse_open(network, profiles)
    for profile in profiles:
        _add_profile(made, builder, network, profile)
    return made.config


def _set_search(made: Configured, options: TensorRTOptions) -> None:
    """What decides how tactics are looked for."""
    verbosity = _enum(made.api, "ProfilingVerbosity", options.profiling_verbosity)
    made.attribute("profiling_verbosity", verbosity, "--profiling-verbosity")
    if options.optimization_level is not None:
        made.attribute("builder_optimization_level", options.optimization_level, "--optimization-level")
    if options.aux_streams is not None:
        made.attribute("max_aux_streams", options.aux_streams, "--aux-streams")
    if options.tiling_level is not None:
        tiling = _enum(made.api, "TilingOptimizationLevel", options.tiling_level)
        made.attribute("tiling_optimization_level", tiling, "--tiling-level")
    if options.is_tf32_allowed is not None:
        made.flag("TF32", "--tf32", is_on=options.is_tf32_allowed)
    if options.is_sparse:
        made.flag("SPARSE_WEIGHTS", "--sparsity")
    if options.is_timing_cache_editable:
        made.flag("EDITABLE_TIMING_CACHE", "--editable-timing-cache")


def _set_kind(made: Configured, options: TensorRTOptions) -> None:
    """What decides what the plan is."""
    if options.hardware_compatibility not in (None, "none"):
        level = _enum(made.api, "HardwareCompatibilityLevel", options.hardware_compatibility)
        made.attribute("hardware_compatibility_level", level, "--hardware-compatibility")
    if options.is_version_compatible:
        made.flag("VERSION_COMPATIBLE", "--version-compatible")
    if not options.has_lean_runtime:
        made.flag("EXCLUDE_LEAN_RUNTIME", "--exclude-lean-runtime")
    if options.is_stripped:
        made.flag("STRIP_PLAN", "--strip-plan")
    if options.is_refittable:
        made.flag("REFIT", "--refit")


def _set_targets(made: Configured, target: Target) -> None:
    config = made.config
    if target.members and hasattr(config, "num_compute_capabilities") and hasattr(config, "set_compute_capability"):
        config.num_compute_capabilities = len(target.members)
        for index, name in enumerate(target.members):
            member = getattr(made.api.module, "ComputeCapability").__members__[name]  # noqa: B009  TensorRT-RTX alone has it
            if not config.set_compute_capability(member, index):
                raise BuildError(f"{made.api.name} {made.api.version} does not build for {name}", "leave it out")


def _set_formats(api: TrtApi, network: INetworkDefinition, options: TensorRTOptions) -> None:
    """One format only is allowed a tensor, so that the builder has no choice."""
    tensors: tuple[tuple[ITensor, str], ...] = (
        (network.get_input(0), options.input_format),
        (network.get_output(0), options.output_format),
    )
    for tensor, layout in tensors:
        if layout != "linear":
            tensor.allowed_formats = 1 << int(_enum(api, "TensorFormat", layout))


def _refuse_open(network: INetworkDefinition, profiles: tuple[ProfileSpec, ...]) -> None:
    image: ITensor = network.get_input(0)
    if -1 in tuple(image.shape) and not profiles:
        raise BuildError(
            f"input '{image.name}' is {'x'.join(map(str, image.shape))} and no profile says how large it gets",
            "give --min-shapes, --opt-shapes and --max-shapes, or one --input-size",
        )


def _add_profile(made: Configured, builder: Builder, network: INetworkDefinition, profile: ProfileSpec) -> None:
    image: ITensor = network.get_input(0)
    found, shape = builder.create_optimization_profile(), tuple(image.shape)
    shapes = [_opened(shape, one) for one in (profile.minimum, profile.optimum, profile.maximum)]
    with made.api.log.overheard() as said:
        found.set_shape(image.name, *shapes)
        index = made.config.add_optimization_profile(found)
    if index < 0:
        texts = ", ".join("x".join(map(str, one)) for one in shapes)
        raise BuildError(f"{made.api.name} refuses the profile {texts} of '{image.name}' ({said})", "change the shapes")


def _opened(shape: tuple[int, ...], sizes: tuple[int, int, int]) -> tuple[int, ...]:
    """A network's input shape with a profile's batch, height and width; channels are the side that no profile has."""
    batch, height, width = sizes
    channels_first = shape[1] in (1, 3)
    return (batch, shape[1], height, width) if channels_first else (batch, height, width, shape[3])


def _enum(api: TrtApi, kind: str, value: str) -> TrtEnum:
    return getattr(getattr(api.module, kind), member_of(kind, value).partition(".")[2])


def used_options(
    api: TrtApi, config: IBuilderConfig, options: TensorRTOptions, target: Target
) -> dict[str, OptionValue]:
    """What the builder really used, read back from it."""
    used: dict[str, OptionValue] = {
        "workspace_bytes": config.get_memory_pool_limit(api.module.MemoryPoolType.WORKSPACE),
        "optimization_level": config.builder_optimization_level,
        "is_tf32_allowed": config.get_flag(api.module.BuilderFlag.TF32),
        "is_sparse": config.get_flag(api.module.BuilderFlag.SPARSE_WEIGHTS),
        "is_refittable": config.get_flag(api.module.BuilderFlag.REFIT),
        "aux_streams": config.max_aux_streams,
        "profiling_verbosity": options.profiling_verbosity,
        "compute_capabilities": ", ".join(target.members) or None,
        "warnings": api.log.warnings,
    }
    used |= {f"{pool}_bytes".replace("-", "_"): size for pool, size in options.pools if pool != "workspace"}
    if options.tiling_level is not None:
        used["tiling_level"] = options.tiling_level
    return used
