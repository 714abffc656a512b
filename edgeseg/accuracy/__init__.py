"""Own engines against labels and against each other. Build nothing, print nothing."""

from edgeseg.accuracy.evaluating import evaluate_engines
from edgeseg.accuracy.results import EngineAccuracy, EngineLatency, Evaluation, FramePicture, FrameScore
from edgeseg.accuracy.scoring import score
from edgeseg.accuracy.verdict import LEAST_RATIO, TimedEngine, Verdict, precision_verdicts

__all__ = [
    "LEAST_RATIO",
    "EngineAccuracy",
    "EngineLatency",
    "Evaluation",
    "FramePicture",
    "FrameScore",
    "TimedEngine",
    "Verdict",
    "evaluate_engines",
    "precision_verdicts",
    "score",
]
