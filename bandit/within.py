"""Variance within cells: the noise of one request around its arm's mean in the same epoch.

Comparing inside epochs keeps trends out of the noise. A unit may hold several requests; the residual is
then y_u - r x_u with r = sum y / sum x and x the unit's requests, so that units, not requests, are independent.
"""

from dataclasses import dataclass

import numpy as np

from bandit.cells import Cells, Floats, Z


@dataclass(frozen=True)
class Within:
    """Sums per (epoch, arm), all of shape (epochs, arms)."""

    requests: Floats
    totals: Floats
    squares: Floats
    """Squared residuals of units around their own cell's mean per request."""
    freedom: Floats
    """requests * (1 - 1/units): squares / freedom estimates the variance of a request's value, in the sense
    that a mean over n requests has the variance squares / freedom / n."""


def within(cells: Cells, component: Z = Z.TOTAL) -> Within:
    """Sums of one component per request, and its squared residuals within cells.

    With one request per unit these are the usual sum of squares and n - 1.
    """
    places = (
        (Z.UNIT, Z.UNIT), (Z.UNIT, Z.REQUESTS), (Z.UNIT, component),
        (component, component), (Z.REQUESTS, component), (Z.REQUESTS, Z.REQUESTS),
    )  # fmt: skip
    units, requests, totals, yy, xy, xx = (cells.product(*place) for place in places)
    ratio = totals / np.maximum(requests, 1.0)
    squares = np.maximum(yy - ratio * (2 * xy - ratio * xx), 0.0)
    freedom = requests * (1 - 1 / np.maximum(units, 1.0))
    return Within(requests, totals, squares, freedom)


def pooled_variance(of: Within, width: float) -> float:
    """Variance of one request's value, pooled over epochs and arms; `width` is the range of the values.

    One observation of the largest possible variance, width^2 / 4, is added and the result kept above
    1e-4 width^2: outcomes that happen to be identical at first must not look certain.
    """
    if not (np.isfinite(width) and width > 0):
        raise ValueError(f"width == {width}, must be the highest minus the lowest value, above 0")
    plugged = (of.squares.sum() + width**2 / 4) / (of.freedom.sum() + 1)
    return float(max(plugged, 1e-4 * width**2))
