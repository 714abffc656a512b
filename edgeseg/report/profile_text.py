"""Own the words and tables of a profile that all forms of a report share. Own no markup and no layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgeseg.report.profile_record import LayerTime, Profile, Roofs
from edgeseg.report.roofline import OVERHEAD
from edgeseg.report.text import milliseconds

__all__ = ["MOST_LAYERS", "Table", "notes", "share_of", "summary", "tables", "type_of"]

MOST_LAYERS = 15
MOVING, NOT_TOLD, NO_MODULE = "moving", "not told", "no module: added by the builder or the back end"
NOTICED_SHARE = 0.01  # layers that move data and take less are not named
LONG = 40


@dataclass(frozen=True, kw_only=True)
class Table:
    """A heading, column names, and rows of as many cells; the first ``words`` columns are words, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


def share_of(share: float) -> str:
    """Of a whole, with a digit behind the point below ten percent."""
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def type_of(layer: LayerTime) -> str:
    """What a layer's time is counted under: its precision, or that it moves data."""
    return MOVING if layer.is_moving else layer.precision or NOT_TOLD


def summary(profile: Profile) -> str:
    """What the layers took together against the engine, and what profiling cost."""
    taken = milliseconds(profile.layers_ms)
    against = f"unprofiled it takes {milliseconds(profile.unprofiled_p50_ms)} ms, profiled "
    return (
        f"{profile.engine}: {len(profile.layers)} layers take {taken} ms together, medians of {profile.runs} runs; "
        f"{against}{milliseconds(profile.profiled_p50_ms)} ms ({profile.overhead:+.0%})"
    )


def tables(profile: Profile, *, most: int = MOST_LAYERS) -> list[Table]:
    """The slowest layers, the modules where a net told them, the types, and pre- and post-processing."""
    found = [_layer_table(profile, most)]
    if profile.net is not None:
        found.append(_module_table(profile))
    found.append(_type_table(profile))
    if profile.roofs is not None:
        found.append(_bound_table(profile))
        if profile.roofs.steps:
            found.append(_step_table(profile.roofs))
    return found


def notes(profile: Profile) -> list[str]:
    """What the tables do not say, one sentence each."""
    found = [_moving_note(profile)]
    if profile.net is None:
        found.append("Modules, operations and the roofline need the net: add --net NET.onnx, the file it was built of.")
    elif profile.roofs is not None:
        found += _roof_notes(profile.roofs)
        if any(one.bound == "unknown" for one in profile.layers):
            found.append("'unknown' is a layer whose operations or bytes nobody tells, or whose peak was not measured.")
    return found


def _layer_table(profile: Profile, most: int) -> Table:
    has_net = profile.net is not None
    columns = ("layer", "kind", "type", *(("module", "bound") if has_net else ()), "ms", "share")
    rows = []
    for one in profile.slowest()[:most]:
        about = (one.module.partition(" (")[0] or "-", one.bound or "-") if has_net else ()
        roof = (_of_roof(one),) if has_net else ()
        cells = (_label(one), one.kind, type_of(one), *about)
        rows.append((*cells, milliseconds(one.median_ms), share_of(one.share), *roof))
    shown, whole = min(most, len(profile.layers)), len(profile.layers)
    title = f"Slowest layers ({shown} of {whole})" if shown < whole else "Layers, the slowest first"
    return Table(
        title=title, columns=(*columns, *(("of roof",) if has_net else ())), rows=tuple(rows), words=len(cells)
    )


def _module_table(profile: Profile) -> Table:
    rows = _grouped(profile.layers, lambda one: one.group or NO_MODULE, lambda layers: (_macs_text(layers),))
    return Table(title="Modules", columns=("module", "layers", "ms", "share", "MACs"), rows=rows)


def _type_table(profile: Profile) -> Table:
    return Table(
        title="Share by type", columns=("type", "layers", "ms", "share"), rows=_grouped(profile.layers, type_of)
    )


def _bound_table(profile: Profile) -> Table:
    return Table(
        title="Bound by",
        columns=("bound", "layers", "ms", "share", "least ms"),
        rows=_grouped(profile.layers, lambda one: one.bound or "unknown", lambda layers: (_roof_text(layers),)),
    )


def _step_table(roofs: Roofs) -> Table:
    rows = tuple(
        (
            one.name,
            f"{one.moved_bytes / 1e6:.2f}",
            milliseconds(one.median_ms),
            milliseconds(one.copy_ms),
            share_of(one.copy_ms / one.median_ms),
        )
        for one in roofs.steps
    )
    return Table(
        title="Pre- and post-processing against a copy", columns=("stage", "MB", "ms", "copy ms", "of copy"), rows=rows
    )


def _grouped(
    layers: Iterable[LayerTime],
    key: Callable[[LayerTime], str],
    more: Callable[[list[LayerTime]], tuple[str, ...]] = lambda layers: (),
) -> tuple[tuple[str, ...], ...]:
    """A row a group, the longest first: name, number of layers, milliseconds, share, and what ``more`` says of them."""
    groups: dict[str, list[LayerTime]] = {}
    for one in layers:
        groups.setdefault(key(one), []).append(one)
    ordered = sorted(groups.items(), key=lambda one: -sum(layer.median_ms for layer in one[1]))
    return tuple(
        (
            name,
            str(len(same)),
            milliseconds(sum(one.median_ms for one in same)),
            share_of(sum(one.share for one in same)),
            *more(same),
        )
        for name, same in ordered
    )


def _macs_text(layers: list[LayerTime]) -> str:
    return f"{sum(one.macs or 0 for one in layers) / 1e6:,.0f} M"


def _roof_text(layers: list[LayerTime]) -> str:
    known = [one.roof_ms for one in layers if one.roof_ms is not None]
    return milliseconds(sum(known)) if known else "-"


def _of_roof(layer: LayerTime) -> str:
    """How much of the least time the time is; above 100% a cache kept what a copy would fetch."""
    if layer.roof_ms is None or layer.median_ms == 0.0:
        return "-"
    return share_of(layer.roof_ms / layer.median_ms)


def _moving_note(profile: Profile) -> str:
    moving = [one for one in profile.slowest() if one.is_moving]
    if not moving:
        return "No layer only moves or converts data."
    whole = share_of(sum(one.share for one in moving))
    named = [f"{_label(one)} ({one.kind}, {share_of(one.share)})" for one in moving if one.share >= NOTICED_SHARE]
    listed = ", ".join(named) or "none of them takes 1%"
    return f"{len(moving)} layer(s) only move or convert data, {whole} of the time: {listed}."


def _roof_notes(roofs: Roofs) -> list[str]:
    peaks = [f"{name} {value / 1e9:,.0f} G operations/s" for name, value in roofs.operations_per_s.items()]
    measured = ", ".join([f"copy {roofs.copy_bytes_per_s / 1e9:.1f} GB/s read plus written", *peaks])
    found = [
        f"Roofs, measured here: {measured}. A layer's least time is the longer of its operations (2 a MAC) over the "
        f"peak and its bytes over the copy; 'overhead' takes more than {OVERHEAD:g} times that. Above 100% of the "
        "roof, a cache kept what a copy fetches from memory."
    ]
    return found + [f"No peak of {name}: {reason}." for name, reason in roofs.missing.items()]


def _label(layer: LayerTime) -> str:
    """Its name, less what the back end put behind the net's own; of a long one the begin and the end."""
    name = next((one for one in layer.nodes if layer.name.startswith(one)), layer.name)
    half = LONG // 2
    return name if len(name) <= LONG else f"{name[: half - 1]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
