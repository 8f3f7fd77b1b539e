"""Mode learn through the very tick: how soon ten arms are decided."""

import numpy as np
import pytest
from scipy.stats import binom

from evaluation.calibration.serving import decide

RUNS = 5


@pytest.mark.statistical
def test_ten_arms_are_decided_within_the_bar():
    """Bar 5 in short: runs that last longer than 22,000 requests, or promote another arm, are as rare as the bar says
    (exact binomial bounds at 1%); `make calibrate` runs more."""
    runs = [decide(seed) for seed in np.random.SeedSequence(5).spawn(RUNS)]
    late = sum(run.requests > 22_000 for run in runs)
    assert binom.sf(late - 1, RUNS, 0.5) > 0.01
    assert binom.sf(sum(not run.right for run in runs) - 1, RUNS, 0.05) > 0.01
