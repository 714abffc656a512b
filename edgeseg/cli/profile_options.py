"""Own the options of `edgeseg benchmark` that ask where the time goes: words to a wish. Measure nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeseg.cli.console import refuse_overwriting

if TYPE_CHECKING:
    from edgeseg.report.benchmark import OnTurn
    from edgeseg.report.frames import FrameSet
    from edgeseg.report.record import Report

__all__ = ["TRTEXEC_PROFILE", "ProfileWish", "profile_options", "profile_wish"]

#: trtexec's names of these options, and ours
TRTEXEC_PROFILE = {"dumpProfile": "profile", "exportProfile": "export-profile"}

Command = TypeVar("Command", bound=Callable[..., Any])


def profile_options(command: Command) -> Command:
    """Add the options; their values are what ``profile_wish`` takes."""
    for option in (
        click.option(
            "--export-profile",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write the profile of the one ENGINE as trtexec's --exportProfile does; implies --profile.",
        ),
        click.option(
            "--net",
            "nets",
            multiple=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="ONNX file that an ENGINE was built of: the profile then tells modules, operations and what bounds "
            "each layer. May be given several times.",
        ),
        click.option("--profile", is_flag=True, help="After the timing, take the time of every layer."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class ProfileWish:
    """What was asked for. Nothing is done where ``is_wanted`` is false."""

    is_wanted: bool
    nets: tuple[Path, ...]
    export: Path | None

    def check(self, engines: Sequence[Path]) -> None:
        """Refuse a net of no engine before anything is measured.

        Raises:
            OptionsError, ModelError, SpecError: see ``check_nets``.
        """
        if self.is_wanted and self.nets:
            from edgeseg.report.profiling import check_nets

            check_nets(engines, self.nets)

    def fulfilled(self, report: Report, engines: Sequence[Path], frames: FrameSet, on_turn: OnTurn) -> Report:
        """The report with its profiles."""
        if not self.is_wanted:
            return report
        from edgeseg.report.profiling import with_profiles

        return with_profiles(report, engines, frames, nets=self.nets, on_turn=on_turn)

    def write(self, report: Report) -> None:
        """The file in trtexec's form, where it was asked for.

        Raises:
            OutputError: it cannot be written.
        """
        if self.export is None:
            return
        from edgeseg.report.trtexec_profile import write_trtexec_profile

        write_trtexec_profile(report.profiles[0], self.export)
        click.echo(f"wrote {self.export}", err=True)


def profile_wish(
    engines: Sequence[Path], *, profile: bool, nets: tuple[Path, ...], export_profile: Path | None
) -> ProfileWish:
    """The options as one.

    Raises:
        UsageError: a net without a profile, or one file for several engines' profiles, or in the place of an input.
    """
    if nets and not profile and export_profile is None:
        raise click.UsageError("--net tells a profile what the layers are: add --profile")
    if export_profile is not None:
        if len(engines) > 1:
            raise click.UsageError(f"--export-profile holds one engine's profile, {len(engines)} are given")
        refuse_overwriting((*engines, *nets), (export_profile,))
    return ProfileWish(is_wanted=profile or export_profile is not None, nets=nets, export=export_profile)
