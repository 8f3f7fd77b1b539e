"""Requests that feedback judged to belong to another task: they dilute every comparison of this one."""

from math import sqrt

from bandit.cells import Z
from experiments.definition.reward import MISROUTED
from experiments.evidence.evidence import Evidence
from experiments.report.document import MisroutedPart

_Z = 1.959963984540054
"""Of a two-sided interval of 95%."""


def misrouted(everything: Evidence) -> MisroutedPart | None:
    """Share of the judged requests, over all candidates and epochs; None where nobody judged any.

    The interval is Wilson's (1927) for a fixed number of independent requests; requests of one unit make it too short.
    """
    sums = everything.metric(MISROUTED).pooled().sum(axis=0)
    judged, wrong = float(sums[Z.UNIT, Z.REQUESTS]), float(sums[Z.UNIT, Z.TOTAL])
    if judged < 1:
        return None
    low, high = wilson(wrong, judged)
    return MisroutedPart(
        judged=round(judged), misrouted=round(wrong), share=wrong / judged, low=low, high=high,
        sentence=f"{wrong / judged:.1%} of {judged:,.0f} judged requests belong to another task "
        f"(95% interval {low:.1%} to {high:.1%})",
    )  # fmt: skip


def wilson(count: float, of: float) -> tuple[float, float]:
    """Wilson's interval of a proportion.

    >>> [round(end, 4) for end in wilson(10, 100)]
    [0.0552, 0.1744]
    """
    share, spread = count / of, _Z**2 / of
    middle = share + spread / 2
    half = _Z * sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))
