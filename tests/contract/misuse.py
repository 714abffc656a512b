"""Uses of TensorRT, and where each is wrong: what mypy must say of them with the real classes. Nothing here runs.

``wrong in`` names releases by the beginning of their version, ``rtx`` is TensorRT-RTX; other lines are right in all.
"""

from __future__ import annotations

from edgeseg.trt_types import (
    Builder,
    IBuilderConfig,
    ICudaEngine,
    IExecutionContext,
    IOptimizationProfile,
    ITimingCache,
    OnnxParser,
    TrtModule,
)

# ruff: noqa: B018, T201  a member that is only named, or printed, is the point


def members(module: TrtModule, engine: ICudaEngine) -> None:
    module.NetworkDefinitionCreationFlag.EXPLICIT_BATCH  # wrong in 11.4 rtx
    module.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    module.BuilderFlag.FP16  # wrong in 11.4 rtx
    module.BuilderFlag.EDITABLE_TIMING_CACHE  # wrong in 10.3
    module.BuilderFlag.NO_SUCH_FLAG  # wrong in all
    module.NoSuchClass  # wrong in all
    module.ComputeCapability  # wrong in 10.3 10.13 11.4
    engine.device_memory_size  # wrong in 11.4 rtx
    engine.device_memory_size_v2
    engine.get_tensor_nmae(0)  # wrong in all


def calls(module: TrtModule, config: IBuilderConfig, context: IExecutionContext, builder: Builder) -> None:
    config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE)  # wrong in all
    config.set_memory_pool_limit(pool=module.MemoryPoolType.WORKSPACE, pool_size=1 << 30)
    config.set_memory_pool_limit(pool=module.MemoryPoolType.WORKSPACE, size=1 << 30)  # wrong in all
    config.set_memory_pool_limit(module.BuilderFlag.TF32, 1 << 30)  # wrong in all
    config.set_flag(module.BuilderFlag.TF32)
    config.set_flag(int(module.BuilderFlag.TF32))  # wrong in all
    context.execute_async_v3(0)
    context.execute_async_v3(stream_handle=0)
    context.execute_async_v3(stream=0)  # wrong in all
    context.set_input_shape("image", (1, 3, 256, 512))
    builder.create_network()
    builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    builder.create_network("strongly typed")  # wrong in all
    ICudaEngine()  # wrong in all


def properties(engine: ICudaEngine, config: IBuilderConfig, profile: IOptimizationProfile) -> None:
    config.builder_optimization_level = 3
    config.builder_optimization_level = "3"  # wrong in all
    config.builder_optimisation_level = 3  # wrong in all
    engine.num_io_tensors = 2  # wrong in all
    profile.set_shape("image", (1, 3, 64, 64), (1, 3, 128, 128), (1, 3, 256, 256))
    profile.set_shape("image", (1, 3, 64, 64), (1, 3, 128, 128))  # wrong in all


def results(engine: ICudaEngine, parser: OnnxParser, builder: Builder, cache: ITimingCache) -> bytes:
    height: str = tuple(engine.get_tensor_shape("image"))[2]  # wrong in all
    print(parser.get_error(0).node_name() + 1)  # wrong in all
    print(engine.get_tensor_dtype("image").name.lower(), height, len(engine.get_tensor_shape("image")))
    print(memoryview(cache.serialize()), cache.serialize().nbytes, cache.serialize().size)  # wrong in all
    plan = builder.build_serialized_network(builder.create_network(), builder.create_builder_config())
    return bytes(plan)


def asked_for(module: TrtModule, engine: ICudaEngine, config: IBuilderConfig) -> None:
    if hasattr(engine, "create_runtime_config"):
        engine.create_runtime_config()
    if hasattr(module.BuilderFlag, "FP16"):
        config.set_flag(module.BuilderFlag.FP16)
    if hasattr(module, "ComputeCapability"):
        print(module.ComputeCapability.CURRENT)
    if hasattr(engine, "get_engine_stat"):
        engine.device_memory_size  # wrong in 11.4 rtx
