"""Own the stand-in's plan: what the builder decided as JSON, the net as ONNX, and a hash over both."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["IO", "Layer", "Plan", "pack", "unpack"]

MAGIC = b"standin\0"
HASH_BYTES = 32


@dataclass(kw_only=True)
class IO:
    """An input or output: the names of its enumerations' members, and its shape with -1 for open sides."""

    name: str
    mode: str
    dtype: str
    shape: list[int]
    format: str


@dataclass(kw_only=True)
class Layer:
    """A layer after fusion; tensors are (name, shape) pairs."""

    name: str
    kind: str
    precision: str
    inputs: list[tuple[str, list[int]]]
    outputs: list[tuple[str, list[int]]]
    nodes: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Plan:
    """Everything of a plan but the net.

    ``stripped`` are the names of the weights that were left out; ``timed`` counts the layers that no timing cache knew.
    """

    version: str
    compute_capability: str
    device: str
    compatibility: str
    is_version_compatible: bool
    has_lean_runtime: bool
    is_refittable: bool
    stripped: list[str]
    verbosity: str
    io: list[IO]
    profiles: list[dict[str, list[list[int]]]]
    layers: list[Layer]
    activation_bytes: int
    weight_bytes: int
    aux_streams: int
    flags: list[str]
    pools: dict[str, int]
    timed: int


def pack(plan: Plan, onnx_bytes: bytes) -> bytes:
    head, body = json.dumps(asdict(plan)).encode(), zlib.compress(onnx_bytes, 1)
    data = MAGIC + struct.pack("<QQ", len(head), len(body)) + head + body
    return data + hashlib.sha256(data).digest()


def unpack(data: bytes) -> tuple[Plan, bytes]:
    """The plan and its net; ValueError for anything else."""
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.")
    if hashlib.sha256(data[:-HASH_BYTES]).digest() != data[-HASH_BYTES:]:
        raise ValueError("Serialization assertion safeVersionRead == kSAFE_SERIALIZATION_VERSION failed.")
    begin = len(MAGIC) + 16
    head, body = struct.unpack("<QQ", data[len(MAGIC) : begin])
    found: dict[str, Any] = json.loads(data[begin : begin + head])
    found["io"] = [IO(**one) for one in found["io"]]
    found["layers"] = [Layer(**one) for one in found["layers"]]
    return Plan(**found), zlib.decompress(data[begin + head : begin + head + body])
