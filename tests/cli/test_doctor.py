from __future__ import annotations

import pytest
from click.testing import CliRunner

from edgeseg.cli.doctor import doctor
from edgeseg.machine import describing
from edgeseg.machine.records import MachineFacts


def test_doctor_tells_of_the_machine_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = MachineFacts(hypervisor="[red]QEMU[/red]", untold=("power, see [1]",))
    monkeypatch.setattr(describing, "read_machine", lambda: facts)
    output = CliRunner().invoke(doctor).output
    assert "Runs in: a virtual machine ([red]QEMU[/red])" in output
    assert "Not told: power, see [1]" in output
