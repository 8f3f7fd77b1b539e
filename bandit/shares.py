"""Traffic shares: the split of new traffic over arms, and the steps that shape one."""

from collections.abc import Sequence

import numpy as np

from bandit.cells import Floats

Shares = Floats
"""One probability per arm; non-negative, summing to one within 1e-12."""

ROUNDING = 1e-9


def checked(shares: Floats) -> Shares:
    """The same split without rounding errors; refuses what is no split at all.

    >>> checked(np.array([0.5, 0.5 + 1e-13])).sum() == 1
    np.True_
    """
    one_each = shares.ndim == 1 and shares.size > 0
    if not (one_each and shares.min() >= -ROUNDING and abs(shares.sum() - 1) <= ROUNDING):  # a NaN fails too
        raise _no_split(shares)
    positive = np.maximum(shares, 0.0)
    result: Shares = positive / positive.sum()
    return result


def _no_split(shares: Floats) -> ValueError:
    if shares.ndim != 1 or shares.size == 0 or not np.isfinite(shares).all():
        return ValueError(f"shares == {shares.tolist()}, must be finite, one for each of at least one arm")
    return ValueError(
        f"shares == {shares.tolist()}, must be non-negative and sum to 1, not {shares.sum():.12g}"
    )


def thompson(best: Floats) -> Shares:
    """Thompson sampling: each arm gets its probability of being the best."""
    return checked(best)


def top_two(best: Floats, beta: float = 0.5) -> Shares:
    """Top-two Thompson sampling: `beta` to the best draw, the rest to the best of the others.

    t_k = beta P_k + (1 - beta) P_k sum_{j != k} P_j / (1 - P_j), Russo (arXiv 1602.08448, section 3.4).
    A certain winner has no runner-up to compare with, so it keeps all the traffic.

    >>> top_two(np.array([0.5, 0.25, 0.25])).round(4).tolist()
    [0.4167, 0.2917, 0.2917]
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta == {beta:g}, must be in [0, 1]")
    best = checked(best)
    others = 1.0 - np.eye(best.size)
    rest = others @ best  # 1 - best would lose its digits beside a nearly certain winner
    if rest.min() == 0:
        return best
    result = beta * best + (1 - beta) * best * (others @ (best / rest))
    return checked(result / result.sum())


def with_floor(shares: Shares, floors: Floats) -> Shares:
    """Raise every arm's share to at least its floor: p = f + (1 - sum f) t.

    Clamping and then rescaling would push small shares back under the floor, so the shares are mixed
    with the floors instead. An arm without share and floor keeps no traffic.

    >>> with_floor(np.array([0.97, 0.03, 0.0]), np.array([0.1, 0.1, 0.0])).round(3).tolist()
    [0.876, 0.124, 0.0]
    """
    shares = checked(shares)
    if floors.shape != shares.shape or not (floors >= 0).all() or floors.sum() > 1 + ROUNDING:
        raise ValueError(f"floors == {floors.tolist()}, must be {shares.size} numbers >= 0 of sum <= 1")
    return checked(floors + max(0.0, 1 - floors.sum()) * shares)


def capped(shares: Shares, caps: Floats) -> Shares:
    """Lower every share to at most its cap; what is freed goes to the other arms in proportion.

    Freed traffic may lift an arm over its own cap, so this is repeated until all caps hold.

    >>> capped(np.array([0.6, 0.3, 0.1]), np.array([1.0, 0.05, 1.0])).round(3).tolist()
    [0.814, 0.05, 0.136]
    """
    shares = checked(shares)
    if caps.shape != shares.shape or not ((caps >= 0) & (caps <= 1)).all() or caps.sum() < 1 - ROUNDING:
        raise ValueError(f"caps == {caps.tolist()}, must be {shares.size} numbers in [0, 1] of sum >= 1")
    result, full = shares.copy(), np.zeros(shares.size, dtype=bool)
    while (result > caps).any():
        full |= result > caps
        result[full] = caps[full]
        if full.all():
            break
        basis = result[~full] if result[~full].any() else caps[~full]
        result[~full] = basis / basis.sum() * (1 - caps[full].sum())
    return checked(result)


def without(shares: Shares, dropped: Sequence[int]) -> Shares:
    """Take all traffic from some arms and give it to the others in proportion to their shares.

    If the others had none, they share equally.

    >>> without(np.array([0.5, 0.3, 0.2]), [0]).round(3).tolist()
    [0.0, 0.6, 0.4]
    """
    shares = checked(shares)
    live = np.ones(shares.size, dtype=bool)
    live[list(dropped)] = False
    if not live.any():
        raise ValueError(f"dropped == {sorted(dropped)}, must leave one of {shares.size} arms")
    rest = np.where(live, shares, 0.0)
    if rest.sum() == 0:
        rest = live.astype(np.float64)
    return checked(rest / rest.sum())
