"""Own the way of an ONNX file into TensorRT's network, and the words on what its parser refuses. Build nothing."""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.builder.backends.base import Refusal
from edgeseg.errors import BuildError
from edgeseg.packages import require
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import Builder, INetworkDefinition, OnnxParser, ParserError

__all__ = ["make_builder", "parse", "refusals", "refuse_deadly", "typing_flags"]

OTHER_OPERATOR = "change that operator in the net, or take --backend openvino"
SHOWN_PARSER_ERRORS = 3


def make_builder(api: TrtApi) -> Builder:
    """TensorRT's builder, or BuildError with its log."""
    try:
        return api.module.Builder(api.logger)
    except TypeError as error:  # pybind's word for a factory that returned null
        raise BuildError(f"{api.name} {api.version} gives no builder ({api.log})", "check the CUDA driver") from error


def typing_flags(api: TrtApi, *, is_strong: bool) -> int:
    """Creation flags; should a release drop the flag, strong typing is its only mode."""
    flag = getattr(api.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 1 << int(flag) if is_strong and flag is not None else 0


def parse(api: TrtApi, network: INetworkDefinition, onnx_path: Path) -> OnnxParser:
    """Fill a network.

    Returns:
        The parser, which owns the weights: keep it until the plan is built.
    Raises:
        BuildError: names the nodes that are refused, their operators and the shapes of their inputs.
    """
    parser: OnnxParser = api.module.OnnxParser(network, api.logger)
    is_parsed = parser.parse_from_file(str(onnx_path))
    shown = min(parser.num_errors, SHOWN_PARSER_ERRORS)
    errors = [_described(parser.get_error(index), onnx_path) for index in range(shown)]
    if errors or not is_parsed:
        more = f" and {parser.num_errors - shown} more" if parser.num_errors > shown else ""
        reasons = "; ".join(errors) or str(api.log)
        raise BuildError(f"{api.name} {api.version} refuses the graph: {reasons}{more}", OTHER_OPERATOR)
    if network.num_outputs == 0:  # the parser takes zero bytes for an empty model and is content
        raise BuildError("the graph has no output", "export the net again with 'edgeseg export'")
    return parser


def refusals(api: TrtApi, onnx_path: Path) -> tuple[Refusal, ...]:
    """What the parser says of each node."""
    network: INetworkDefinition = make_builder(api).create_network(typing_flags(api, is_strong=True))
    parser: OnnxParser = api.module.OnnxParser(network, api.logger)
    is_parsed = parser.parse_from_file(str(onnx_path))
    errors: list[ParserError] = [parser.get_error(index) for index in range(parser.num_errors)]
    found = {(error.node_name(), error.node_operator()): _reason(error) for error in errors}
    if not found and not is_parsed:
        return (Refusal(node="", op="", reason=str(api.log)),)
    return tuple(Refusal(node=node, op=op, reason=reason) for (node, op), reason in found.items())


def refuse_deadly(onnx_path: Path) -> None:
    """The builder of TensorRT-RTX 1.7.1 ends the process where it meets an Attention and no GPU (measured)."""
    for node in require("onnx_ir").load(onnx_path).graph.all_nodes():
        if node.op_type == "Attention" and not node.domain:
            raise BuildError(
                f"tensorrt-rtx cannot build Attention '{node.name}' on a machine without a GPU",
                "export with --opset 19, which has no Attention, or build beside the card",
            )


def _described(error: ParserError, onnx_path: Path) -> str:
    code = getattr(error.code(), "name", str(error.code()))
    text, operator = f"{code} in {error.func()}: {error.desc()}", error.node_operator()
    if not operator:
        return text
    return f"node {error.node()} '{error.node_name()}' ({operator} of {_shapes(onnx_path, error.node_name())}): {text}"


def _shapes(onnx_path: Path, node_name: str) -> str:
    from edgeseg.graph.access import input_words

    graph = require("onnx_ir").load(onnx_path).graph
    return next((input_words(node) for node in graph.all_nodes() if node.name == node_name), "unknown inputs")


def _reason(error: ParserError) -> str:
    """The parser's sentence out of its C++ condition; a bare ``false`` in a check is an operator without a layer."""
    condition = " ".join(error.desc().splitlines()[:2])
    if condition == "false":
        return "there is no layer for it"
    _, is_quoted, sentence = condition.partition('&& "')
    return sentence.replace('" "', "").rstrip('"') if is_quoted else re.sub(r"^Assertion failed: .*?: ", "", condition)
