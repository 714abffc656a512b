"""Own what the contract tests share: the releases, one after the other, or the reason why one cannot be had."""

from __future__ import annotations

from typing import Any

import pytest
from trt_releases import RELEASES, Release, UnavailableError, dump


@pytest.fixture(scope="session", params=RELEASES, ids=lambda release: release.key)
def release(request: pytest.FixtureRequest) -> Release:
    """A release whose bindings import here."""
    one: Release = request.param
    picture_or_skip(one)
    return one


@pytest.fixture(scope="session")
def picture(release: Release) -> dict[str, Any]:
    """Its classes; see trt_dump."""
    return dump(release)


@pytest.fixture(scope="session")
def pictures() -> dict[str, dict[str, Any]]:
    """The classes of all releases, by their keys; skips where one cannot be had."""
    return {one.key: picture_or_skip(one) for one in RELEASES}


def picture_or_skip(one: Release) -> dict[str, Any]:
    try:
        return dump(one)
    except UnavailableError as error:
        pytest.skip(str(error))
