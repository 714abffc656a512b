"""Own made-up samples of a run as a busy machine gives them. Judge nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIKENESS = 0.8  # of a sample to the one before it, first-order
ROUND_LIKENESS = 0.5  # of a round's level to that of the round before it
NOISE = 0.015
TAIL_SHARE, TAIL_INDEX = 0.04, 2.0  # of samples that something delays, and of the Pareto law of the delay


def simulated_run(
    random: np.random.Generator, median_ms: float, *, drift: float, rounds: int = 10, samples: int = 60
) -> list[NDArray[np.float64]]:
    """Samples that hang together, in rounds whose level wanders by ``drift`` (a share), with heavy tails.

    Noise is Student's t with three degrees of freedom; 4 % of the samples are delayed after a Pareto law.
    """
    levels = drift * _hanging_together(random.normal(size=(rounds, 1)), ROUND_LIKENESS)
    noise = NOISE * _hanging_together(random.standard_t(3, size=(samples, rounds)), LIKENESS).T
    delays = (random.random((rounds, samples)) < TAIL_SHARE) * random.pareto(TAIL_INDEX, (rounds, samples))
    return list(median_ms * np.exp(levels + noise) * (1 + delays))


def _hanging_together(shocks: NDArray[np.float64], likeness: float) -> NDArray[np.float64]:
    """First-order series along the first axis, with the shocks' variance."""
    found = shocks.copy()
    for index in range(1, len(found)):
        found[index] = likeness * found[index - 1] + np.sqrt(1 - likeness**2) * shocks[index]
    return found
