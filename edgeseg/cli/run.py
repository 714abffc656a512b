"""Own `edgeseg run`: words to options, progress and latency to text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgeseg.cli.console import count_bar

if TYPE_CHECKING:
    from edgeseg.runtime.loop import LoopStats
    from edgeseg.runtime.session import Session


@click.command()
@click.argument("engine", type=click.Path(path_type=Path))
@click.argument("source")
@click.argument("sinks", metavar="[SINK]...", nargs=-1)
@click.option(
    "--policy",
    type=click.Choice(["all", "latest"]),
    help="all: every frame gets its mask; latest: old frames are dropped.  [default: all for files, latest for others]",
)
@click.option(
    "--alpha", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Weight of the class colours."
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of the engine; all cores without it.")
@click.option(
    "--cuda-graphs/--no-cuda-graphs",
    default=None,
    help="Launch a frame's work on a GPU as one CUDA graph.  [default: where the engine allows]",
)
@click.option("--stats/--no-stats", default=True, show_default=True, help="Print latency at the end.")
def run(
    engine: Path,
    source: str,
    sinks: tuple[str, ...],
    policy: Literal["all", "latest"] | None,
    alpha: float,
    threads: int | None,
    cuda_graphs: bool | None,
    stats: bool,
) -> None:
    """Run an engine over a source and give the masks to sinks.

    SOURCE: a video file, a folder of images, a camera index, an rtsp or http address.
    SINK: overlay.mp4 (video with class colours), a folder (PNG masks), none; several may be given.
    """
    from edgeseg.errors import EdgesegError
    from edgeseg.runtime.loop import run_loop
    from edgeseg.runtime.session import Session
    from edgeseg.runtime.sinks import open_sinks
    from edgeseg.runtime.sources import open_source

    frames_in = open_source(source)
    # a live source is read one frame at a time: a frame in flight would wait for the next one's arrival
    with (
        Session(
            engine, depth=1 if frames_in.is_live else 2, threads=threads, graphs=cuda_graphs is not False
        ) as session,
        open_sinks(sinks, session.spec.model.labels, fps=frames_in.fps, alpha=alpha) as opened,
    ):
        if cuda_graphs is not None and not session.is_on_device:
            raise EdgesegError(
                f"{engine} runs on the CPU, without CUDA", "leave --cuda-graphs and --no-cuda-graphs out"
            )
        chosen = policy or ("latest" if frames_in.is_live else "all")
        try:
            with count_bar("masks", total=frames_in.length) as show:
                result = run_loop(session, frames_in, opened, policy=chosen, on_mask=show)
        except KeyboardInterrupt:
            done = session.latency.count("total")
            raise EdgesegError(
                f"interrupted after {done} masks", "what was written is whole; run it again for the rest"
            ) from None
        on_device = _device_line(session) if session.is_on_device else ""
    _print_result(result, sinks, with_stats=stats)
    if stats and on_device:
        click.echo(on_device)


def _device_line(session: Session) -> str:
    """What a frame cost of CUDA, in the mean, and whether graphs were in use."""
    done, frames = session.counters, max(session.latency.count("total"), 1)
    figures = f"{done.bytes_in / frames / 1e6:.2f} MB in, {done.bytes_out / frames / 1e6:.2f} MB out"
    calls = f"{done.launches / frames:.1f} launches, {done.synchronisations / frames:.1f} waits"
    return f"CUDA, a frame: {figures}, {calls}; graphs: {session.graph_state}"


def _print_result(result: LoopStats, sinks: tuple[str, ...], *, with_stats: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    where = f" -> {', '.join(sinks)}" if sinks else ""
    click.echo(
        f"{result.frames} masks, {result.dropped} frames dropped, {result.seconds:.1f} s, "
        f"{result.frames_per_s:.1f} masks/s{where}"
    )
    if not with_stats:
        return
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms", "max ms", "jitter ms", "n", title="latency")
    for name, one in result.stages.items():
        figures = (one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms, one.jitter_ms)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), str(one.count))
    Console().print(table)
