"""Own one promise of ``make sanitize``: that the kernels under test are the sanitized ones."""

from __future__ import annotations

import os

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run on a plain build where a sanitized one is asked for."""
    from edgeseg.imaging import _native

    asked = os.environ.get("EDGESEG_SANITIZED")
    if asked and os.path.realpath(asked) not in os.path.realpath(_native.__file__):
        pytest.exit(f"{_native.__file__} is not the sanitized build in {asked}", returncode=3)
