"""Calibration: whether a policy's word for its success can be taken at its value.

    Brier score                 mean of (p - y)^2, over requests (Brier 1950, Monthly Weather Review 78)
    expected calibration error  sum over bins b of (n_b / n) |mean_b(y) - mean_b(p)|, ten bins of equal width
                                (Naeini, Cooper and Hauskrecht 2015, AAAI)

Both describe the requests that the policy's own choice served: its arm's traffic, of mature epochs, with a reward. A
request that a fallback answered is left out, as the prediction was about another model.
"""

import numpy as np

from bandit.cells import Floats, Z
from experiments.definition.reward import PREDICTED_BINS
from experiments.evidence.evidence import Evidence
from experiments.report.document import CalibrationPart


def calibration(mature: Evidence, arm: int) -> CalibrationPart | None:
    """Of one candidate; None where it predicted nothing, or no reward of it is known yet."""
    if not any(name in mature.cells for name in PREDICTED_BINS):
        return None
    bins = np.array([mature.metric(name).pooled()[arm] for name in PREDICTED_BINS])
    requests = float(bins[:, Z.UNIT, Z.UNIT].sum())
    if requests < 1:
        return None
    predicted, succeeded = bins[:, Z.UNIT, Z.REQUESTS], bins[:, Z.UNIT, Z.TOTAL]
    brier, error = brier_score(bins), float(np.abs(succeeded - predicted).sum() / requests)
    mean, rate = float(predicted.sum() / requests), float(succeeded.sum() / requests)
    return CalibrationPart(
        requests=round(requests), brier_score=brier, expected_calibration_error=error,
        mean_predicted=mean, success_rate=rate,
        sentence=f"it predicted {mean:.1%} success on average and {rate:.1%} of {requests:,.0f} requests succeeded; "
        f"Brier score {brier:.3f}, expected calibration error {error:.1%}",
    )  # fmt: skip


def brier_score(bins: Floats) -> float:
    """Mean of (p - y)^2 from the moments of (1, p, y), which stand where unit, requests and total do."""
    sums = bins.sum(axis=0)
    squares = sums[Z.REQUESTS, Z.REQUESTS] - 2 * sums[Z.REQUESTS, Z.TOTAL] + sums[Z.TOTAL, Z.TOTAL]
    return float(max(0.0, squares) / sums[Z.UNIT, Z.UNIT])
