"""Own `edgeseg run`: words to options, progress and latency to text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from edgeseg.cli.console import Duration, Size, count_bar

if TYPE_CHECKING:
    from edgeseg.runtime.loop import Snapshot
    from edgeseg.runtime.service import Service


@click.command()
@click.argument("engine", type=click.Path(path_type=Path))
@click.argument("source")
@click.argument("sinks", metavar="[SINK]...", nargs=-1)
@click.option(
    "--source", "more", metavar="SOURCE", multiple=True, help="One more source for the same engine; may be repeated."
)
@click.option(
    "--policy",
    type=click.Choice(["all", "latest"]),
    help="all: every frame gets its mask; latest: old frames are dropped.  [default: all for files, latest for others]",
)
@click.option("--max-age", type=Duration(), help="Skip frames older than this, before work is spent on them: 100ms.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many frames a second.")
@click.option(
    "--reconnect/--no-reconnect",
    default=True,
    show_default=True,
    help="Open a camera or stream again when it fails or hangs.",
)
@click.option("--stall", type=Duration(), default="10s", show_default=True, help="Give up a source silent for so long.")
@click.option(
    "--paced/--no-paced",
    default=None,
    help="Play a file by its own clock, or as fast as possible.  [default: paced beside a camera or stream]",
)
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Play a file so many times.")
@click.option("--segment", type=Duration(), help="Begin another file of a recording when one is that long: 10m.")
@click.option(
    "--keep",
    type=Size(),
    help="With --segment: delete a recording's oldest files beyond this size, earlier runs' too: 20GB.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1, max_open=True),
    help="Steady the masks over time where nothing moves; weight of the past, 0.7 for example.",
)
@click.option(
    "--alpha", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Weight of the class colours."
)
@click.option("--serve", metavar="ADDRESS", help="Show a live view on :8080; 0.0.0.0:8080 for all of the network.")
@click.option("--serve-token", envvar="EDGESEG_TOKEN", help="Lets who has it reload the engine from the live view.")
@click.option("--log", type=click.Choice(["json"]), help="Write what happens to stderr, one JSON object a line.")
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
    more: tuple[str, ...],
    policy: Literal["all", "latest"] | None,
    max_age: float | None,
    rate: float | None,
    reconnect: bool,
    stall: float,
    paced: bool | None,
    repeat: int,
    segment: float | None,
    keep: int | None,
    smooth: float | None,
    alpha: float,
    serve: str | None,
    serve_token: str | None,
    log: str | None,
    threads: int | None,
    cuda_graphs: bool | None,
    stats: bool,
) -> None:
    """Run an engine over a source and give the masks to sinks.

    SOURCE: a video file, a folder of images, a camera index, an address (rtsp://, http://, v4l2://, csi://, shm://,
    test://), a pipeline (gst://...) or - for raw frames from stdin. SINK: overlay.mp4 (video with class colours),
    mask:classes.mp4 (the colours alone), masks.jsonl (lines of JSON), a folder (PNG masks), none; several may be given.
    SIGTERM and Ctrl-C end it with whole files, SIGHUP loads the engine file anew.

    Several sources (--source) are numbered from 0 and share the engine; frames that wait together go through it in one
    batch where it was built for batches of 1 to so many. overlay-{source}.mp4 is a file for each of them.
    """
    from edgeseg.errors import EdgesegError
    from edgeseg.runtime.loop import LoopOptions
    from edgeseg.runtime.service import Service, ServiceRequest
    from edgeseg.runtime.sinks import SinkOptions

    _check_token(serve)
    request = ServiceRequest(
        engine=engine,
        sources=(source, *more),
        sinks=sinks,
        loop=LoopOptions(policy=policy, max_age_s=max_age, rate=rate, reconnect=reconnect, stall_s=stall),
        is_paced=paced,
        repeat=repeat,
        recording=SinkOptions(segment_s=segment, keep_bytes=keep),
        smooth=smooth,
        alpha=alpha,
        serve=serve,
        token=serve_token,
        has_log=log == "json",
        threads=threads,
        cuda_graphs=cuda_graphs,
    )
    with Service(request) as service:
        end = service.run() if log else _run_with_bar(service)
        if service.was_stopped and not service.is_live:
            raise EdgesegError(
                f"interrupted after {end.masks} masks", "what was written is whole; run it again for the rest"
            )
        _print_result(end, service, sinks, with_stats=stats)
        _check_sinks(end)


def _check_token(serve: str | None) -> None:
    """In the environment a token may be for other runs; typed, it is for this one."""
    typed = click.get_current_context().get_parameter_source("serve_token") is ParameterSource.COMMANDLINE
    if typed and serve is None:
        raise click.UsageError("--serve-token is for the live view: add --serve :8080, or leave it out")


def _run_with_bar(service: Service) -> Snapshot:
    if service.url:
        click.echo(f"live view: {service.url}", err=True)
    with count_bar("masks", total=service.length) as show:
        return service.run(on_mask=show)


def _check_sinks(end: Snapshot) -> None:
    """A live run goes on without a sink that fails; at its end that is no success."""
    from edgeseg.errors import OutputError

    failed = [one for one in end.sinks if one.standing in ("failed", "hanging")]
    if failed:
        told = "; ".join(f"after {one.written} masks {one.error or f'{one.name} hangs'}" for one in failed)
        raise OutputError(f"{len(failed)} of {len(end.sinks)} sinks did not last: {told}", "the others are whole")


def _print_result(end: Snapshot, service: Service, sinks: tuple[str, ...], *, with_stats: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    where = f" -> {', '.join(sinks)}" if sinks else ""
    others = [f"{count} {word}" for count, word in ((end.stale, "stale"), (end.corrupt, "corrupt")) if count]
    lost = ", ".join([f"{end.dropped} frames dropped", *others])
    per_s = end.masks / end.uptime_s if end.uptime_s else 0.0
    click.echo(f"{end.masks} masks, {lost}, {end.uptime_s:.1f} s, {per_s:.1f} masks/s{where}")
    if len(end.sources) > 1:
        for index, source in enumerate(end.sources):
            lost = f"{source.dropped + source.stale + source.corrupt} frames lost"
            click.echo(f"  {index}  {source.name}: {source.masks} masks, {lost}")
    if not with_stats:
        return
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms", "max ms", "jitter ms", "n", title="latency")
    for name, one in end.stages.items():
        figures = (one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms, one.jitter_ms)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), str(one.count))
    Console().print(table)
    if service.device_line:
        click.echo(service.device_line)
