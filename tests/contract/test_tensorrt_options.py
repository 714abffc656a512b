"""Every option on every release: configured where the release has it, and refused by name where it has not.

TensorRT-RTX is here itself; the others are stood in for by what test_standin_surface.py holds against their bindings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trt_configured
from device_lab import Device
from tensorrt_page import answers
from trt_releases import Release

from edgeseg.builder.backends.tensorrt.offers import OFFERS

pytestmark = pytest.mark.contract

Trials = list[tuple[list[str], str]]


@pytest.fixture
def trials(release: Release, device: Device) -> Trials:
    """What was asked for, and the error."""
    command = [sys.executable, trt_configured.__file__, release.name]
    environment = None
    if release.name == "tensorrt":
        environment = device.environment(version=release.version.partition(".post")[0], dla=2, device="Orin", cc="8.7")
    if not release.builds:
        pytest.skip("the lean runtime builds nothing")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [(asked, error) for asked, error in json.loads(done.stdout)]


def test_an_option_is_configured_where_a_release_has_it_and_refused_by_name_where_not(
    release: Release, trials: Trials
) -> None:
    reasons = answers(release)
    for asked, error in trials:
        missing = [f"{option} ({reasons[option]})" for option in asked if reasons[option]]
        assert bool(missing) == bool(error), f"{asked}: {error}"
        assert all(one in error for one in missing)


def test_the_trials_ask_for_every_option(tmp_path: Path) -> None:
    samples = list(trt_configured.samples(tmp_path))
    assert [offer.option for offer in OFFERS if not any(offer.is_asked(one) for one in samples)] == []
