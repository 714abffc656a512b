"""Own the silence of torch and ONNX while they work for us. Hide no exception."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep other packages' notes from the user; what fails is raised, and what is made is checked afterwards.

    Torch warns of its own deprecations, logs which operators of torchvision it leaves out, and prints whole graphs;
    onnx_ir logs a traceback where shapes do not fit.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
