"""Own `edgeseg doctor`: what this machine can do, as a table."""

from __future__ import annotations

import click


@click.command()
def doctor() -> None:
    """Say what works on this machine, and what is missing for the rest. Exits 1 where no back end works."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edgeseg.capabilities import capabilities
    from edgeseg.machine.describing import read_machine
    from edgeseg.report.machine_text import hardware_facts

    found = capabilities()
    table = Table("what", "works")
    table.add_column("with, or what is missing", overflow="fold")
    for one in found:
        table.add_row(one.name, "[green]yes[/]" if one.works else "[red]no[/]", escape(one.detail))
    console = Console()
    console.print(table)
    for name, value in hardware_facts(read_machine()):
        console.print(f"{name}: {value}", markup=False, highlight=False)
    if not any(one.works for one in found if one.is_backend):
        raise click.exceptions.Exit(1)
