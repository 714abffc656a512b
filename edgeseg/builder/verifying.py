"""Own the comparison of a fresh plan with float32 of the same back end, on frames. Build nothing, write no engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from edgeseg.builder.backends.base import Built, Progress
from edgeseg.builder.build_options import VerifyOptions
from edgeseg.builder.measuring import image_name
from edgeseg.errors import BuildError
from edgeseg.metrics import agreement
from edgeseg.runtime.session import Session
from edgeseg.sidecars import write_with_sidecar
from edgeseg.spec import EngineSpec, Verified

__all__ = ["Fresh", "verified"]

COMPARE = "compare"


class Fresh(NamedTuple):
    """A plan that is not written yet, and what its sidecar would say."""

    built: Built
    spec: EngineSpec


def verified(
    fresh: Fresh,
    reference: Fresh,
    options: VerifyOptions,
    *,
    progress: Progress = lambda fraction, step: None,
    note: Callable[[str], None] = lambda text: None,
) -> Verified:
    """Run both on the same frames and compare the masks, pixel by pixel; both are in memory at once.

    Args:
        fresh: the plan.
        reference: the same net in float32.
        options: on what, and how much is enough.
        progress: told what fraction of the frames is done.
        note: told the outcome.
    Raises:
        BuildError: the agreement is below what is asked for, or there is no frame.
        DataError: a frame cannot be read.
        EngineError: a plan does not load or fails.
    """
    frames = options.frames()
    shares: list[float] = []
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder, ExitStack() as stack:
        first = stack.enter_context(_session(fresh, Path(folder) / "fresh.engine"))
        second = stack.enter_context(_session(reference, Path(folder) / "float32.engine"))
        for frame in frames:
            shares.append(agreement(first.segment(frame), second.segment(frame)))
            progress(min(len(shares) / max(len(frames), 1), 1.0), COMPARE)
    found = Verified(
        frames=len(shares), data_sha256=frames.sha256, agreement=sum(shares) / len(shares), worst=min(shares)
    )
    name = image_name(frames, shares.index(found.worst))
    words = f"masks agree with float32 on {_percent(found.agreement)} of the pixels of {found.frames} frames"
    worst = f"least on {name} ({_percent(found.worst)})"
    if options.min_agreement is not None and found.agreement < options.min_agreement:
        raise BuildError(
            f"{words}, asked for is {_percent(options.min_agreement)}; {worst}",
            "take a higher precision, or --max-miou-drop, which keeps layers from int8; nothing was written",
        )
    note(f"{words}, {worst}")
    return found


def _session(one: Fresh, path: Path) -> Session:
    write_with_sidecar(path, one.built.plan, one.spec, weights=one.built.weights)
    return Session(path, depth=1)


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"
