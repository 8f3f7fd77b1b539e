"""Predictions: what a policy said of its success, beside what came of it, as additive sums by bin.

A request's prediction p and its binary reward y meet in its unit row, so they are known together only where every
request is a unit of its own. Each of ten bins of p keeps the moments of (1, p, y); scores of the predictions are
functions of these (experiments.report.calibration).
"""

from experiments.definition.experiment import Experiment
from experiments.definition.reward import PREDICTED_BINS


def judged(definition: Experiment) -> bool:
    """Whether predictions of success can be held against the rewards of this experiment."""
    return definition.unit == "request" and definition.reward.kind == "binary"


def bin_metric(predicted: float) -> str:
    """The metric that keeps the bin of a prediction: tenths, the last one with its upper end.

    >>> bin_metric(0.0), bin_metric(0.35), bin_metric(1.0)
    ('predicted_0', 'predicted_3', 'predicted_9')
    """
    return PREDICTED_BINS[min(int(predicted * len(PREDICTED_BINS)), len(PREDICTED_BINS) - 1)]
