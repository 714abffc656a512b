"""Own the `edgeseg` command: its group, exit codes and one-line errors. Each command is a file beside this one."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence

import click

from edgeseg import __version__
from edgeseg.cli.benchmark import benchmark
from edgeseg.cli.build_engine import build_engine
from edgeseg.cli.demo import demo
from edgeseg.cli.diagnose import diagnose
from edgeseg.cli.doctor import doctor
from edgeseg.cli.evaluate import evaluate
from edgeseg.cli.export import export
from edgeseg.cli.inspect import inspect
from edgeseg.cli.quantize import quantize
from edgeseg.cli.report import report
from edgeseg.cli.run import run
from edgeseg.cli.sweep import sweep
from edgeseg.errors import EdgesegError, OptionsError

__all__ = ["main"]

FAILURE, WRONG_USE = 1, 2
COMMANDS = (export, quantize, build_engine, run, benchmark, sweep, report, evaluate, diagnose, inspect, doctor, demo)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgeseg")
@click.option("--debug", is_flag=True, help="Show tracebacks and what the libraries say (anywhere on the line).")
def cli(debug: bool) -> None:
    """From a trained PyTorch segmentation net to real-time masks, with proof that the masks are still right."""


for command in COMMANDS:
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after ``edgeseg``; those of the process without it.
    Returns:
        The exit code: 0, 1 for a failure, 2 for a wrong use.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if debug:
        return _invoke(words)
    _quieten_libraries()
    return _explain(words)


def _invoke(words: list[str]) -> int:
    result = cli.main(args=words, prog_name="edgeseg", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _explain(words: list[str]) -> int:
    name = words[0] if words and words[0] in cli.commands else ""
    sys.excepthook = _internal_error
    try:
        return _invoke(words)
    except click.exceptions.Abort:
        _say(name, "interrupted; no unfinished file was left: run the same command again")
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OptionsError as error:
        _say(name, str(error))
        return WRONG_USE
    except EdgesegError as error:
        _say(name, str(error))
    except OSError as error:
        _say(name, f"{error.filename or 'a file'}: {error.strerror or error}: check the path and the permissions")
    return FAILURE


def _say(command: str, message: str) -> None:
    one_line = " ".join(message.split())
    click.echo(f"edgeseg {command}".strip() + f": {one_line}", err=True)


def _internal_error(kind: type[BaseException], error: BaseException, _trace: object) -> None:
    _say("", f"internal error ({kind.__name__}: {error}): run it again with --debug and report what it prints")


def _quieten_libraries() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
