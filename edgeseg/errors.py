"""Own the error tree. Every message says what, where, got against expected, and what to do next.

EdgesegError
  MissingPackageError     an optional package is not installed; names the extra
  InputError              a file the user gave is missing, empty or not what it should be
    ModelError            a checkpoint, a module or an ONNX file
    DataError             images and labels for calibration and evaluation
    SourceError           a video, camera or stream
      AddressError        its name means nothing: opening it again gives the same
    SpecError             a sidecar
  OutputError             a result cannot be written
  ShapeError              an array has a wrong shape, dtype or layout
  ParityError             the exported graph does not compute what PyTorch computes
  BuildError              a back end refused or failed to build an engine
    OptionsError          what was asked for does not go together, or not with the file
  EngineError             an engine cannot be loaded or run here
"""

from __future__ import annotations

__all__ = [
    "AddressError",
    "BuildError",
    "DataError",
    "EdgesegError",
    "EngineError",
    "InputError",
    "MissingPackageError",
    "ModelError",
    "OptionsError",
    "OutputError",
    "ParityError",
    "ShapeError",
    "SourceError",
    "SpecError",
]


class EdgesegError(Exception):
    """Base of every error that edgeseg raises on purpose.

    Args:
        what: what is wrong and where, with got and expected.
        hint: what to do next; the message reads ``what: hint``.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what}: {hint}" if hint else what)


class MissingPackageError(EdgesegError):
    """A package of an extra is not installed, or does not import."""


class InputError(EdgesegError):
    """A file that the user named is missing, empty, or not what it should be."""


class ModelError(InputError):
    """A module, a checkpoint or an ONNX file cannot be used."""


class DataError(InputError):
    """A calibration or evaluation set cannot be used."""


class SourceError(InputError):
    """A frame source cannot be opened, or ended before its end."""


class AddressError(SourceError):
    """The name of a frame source means nothing, or asks for what such a source does not have."""


class SpecError(InputError):
    """A sidecar is missing, malformed, or describes another file."""


class OutputError(EdgesegError):
    """A result cannot be written."""


class ShapeError(EdgesegError):
    """An array has a shape, dtype or layout that the call does not take."""


class ParityError(EdgesegError):
    """The exported graph differs from the PyTorch module."""


class BuildError(EdgesegError):
    """A back end refused the graph or failed to build it."""


class OptionsError(BuildError):
    """Options do not go together, or not with the file; the command line takes it for a wrong use."""


class EngineError(EdgesegError):
    """An engine cannot be loaded or run on this machine."""
