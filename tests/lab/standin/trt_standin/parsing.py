"""Own the ONNX parser and what it says of operators that it has not. Build no plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from trt_standin.bound import Bound
from trt_standin.enums import ErrorCode
from trt_standin.logs import ILogger, derived, error
from trt_standin.network import INetworkDefinition, fill
from trt_standin.refitting import Refitter

__all__ = ["OnnxParser", "OnnxParserRefitter", "ParserError"]

#: as the library's own list says; and everything that ONNX itself does not define
REFUSED = {"MaxUnpool", "Col2Im", "StringNormalizer", "Unique", "Optional", "SequenceMap"}


class ParserError(Bound):
    def __init__(self, code: Any, desc: str, func: str, index: int, node: Any) -> None:
        self._code, self._desc, self._func, self._index, self._node = code, desc, func, index, node

    def code(self) -> Any:
        return self._code

    def desc(self) -> str:
        return self._desc

    def file(self) -> str:
        return "onnxOpCheckers.cpp"

    def func(self) -> str:
        return self._func

    def line(self) -> int:
        return 998

    def node(self) -> int:
        return self._index

    def node_name(self) -> str:
        return self._node.name if self._node is not None else ""

    def node_operator(self) -> str:
        return self._node.op_type if self._node is not None else ""

    def local_function_stack(self) -> list[str]:
        return []

    def local_function_stack_size(self) -> int:
        return 0


class OnnxParser(Bound):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self._logger = derived_network(network), derived(logger, ILogger)
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def clear_errors(self) -> None:
        self._errors.clear()

    def supports_operator(self, op_name: str) -> bool:
        return op_name not in REFUSED and onnx.defs.has(op_name)

    def parse(self, model: Any, path: str | None = None) -> bool:
        return self._parse(bytes(model), None if path is None else Path(path).parent)

    def parse_from_file(self, model: str) -> bool:
        try:
            data = Path(model).read_bytes()
        except OSError:
            error(self._logger, f"ModelImporter.cpp:840: Could not open file {model}")
            error(self._logger, f"Failed to parse ONNX model from file: {model}!")
            return False
        return self._parse(data, Path(model).parent)

    def _parse(self, data: bytes, folder: Path | None) -> bool:
        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
        except DecodeError:
            error(self._logger, "ModelImporter.cpp:688: Failed to parse ONNX model from memory!")
            self._errors.append(
                ParserError(ErrorCode.MODEL_DESERIALIZE_FAILED, "deserialization failed", "parse", -1, None)
            )
            return False
        if not model.graph.node:  # zero bytes are an empty model, and it is content
            return True
        if folder is not None:
            onnx.load_external_data_for_model(model, str(folder))
        onnx.checker.check_model(model)
        self._errors += [_refusal(index, node) for index, node in enumerate(model.graph.node) if _is_refused(node)]
        for one in self._errors:
            error(self._logger, f"While parsing node number {one.node()} [{one.node_operator()}]: {one.desc()}")
        if not self._errors:
            fill(self._network, model)
        return not self._errors


class OnnxParserRefitter(Bound):
    def __init__(self, refitter: Refitter, logger: ILogger) -> None:
        self._refitter, self._logger = refitter, derived(logger, ILogger)
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def clear_errors(self) -> None:
        self._errors.clear()

    def refit_from_bytes(self, model: Any, path: str | None = None) -> bool:
        return self._refit(bytes(model), None if path is None else Path(path).parent)

    def refit_from_file(self, model: str) -> bool:
        if not Path(model).is_file():
            error(self._logger, f"Could not open file {model}")
            return False
        return self._refit(Path(model).read_bytes(), Path(model).parent)

    def _refit(self, data: bytes, folder: Path | None) -> bool:
        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
        except DecodeError:
            return self._refuse("deserialization failed")
        if folder is not None:
            onnx.load_external_data_for_model(model, str(folder))
        given = {one.name: one for one in model.graph.initializer}
        for name, dims in self._refitter._dims().items():
            if name not in given or list(given[name].dims) != dims:
                return self._refuse(f"weights {name} are not those of the engine")
            self._refitter._given[name] = given[name]
        return True

    def _refuse(self, text: str) -> bool:
        error(self._logger, text)
        self._errors.append(ParserError(ErrorCode.REFIT_FAILED, text, "refitFromBytes", -1, None))
        return False


def derived_network(network: Any) -> INetworkDefinition:
    if not isinstance(network, INetworkDefinition):
        raise TypeError("__init__(): incompatible constructor arguments: an INetworkDefinition is expected")
    return network


def _is_refused(node: Any) -> bool:
    modes = {one.name: one for one in node.attribute}
    is_cubic = node.op_type == "Resize" and "mode" in modes and modes["mode"].s == b"cubic"
    has_indices = node.op_type == "MaxPool" and len(node.output) > 1
    return is_cubic or has_indices or node.op_type in REFUSED or bool(node.domain)


def _refusal(index: int, node: Any) -> ParserError:
    text = 'creator && "Plugin not found, are the plugin name, version, and namespace correct?"'
    return ParserError(ErrorCode.INVALID_NODE, text, "checkFallbackPluginImporter", index, node)
