"""Environments: seeded worlds in which an experiment is tried out before it meets users.

An environment says what a unit would bring on each arm at a time: a reward (a rate of success per request), a cost
(lognormal), and when feedback arrives, if it does. Rates move by shapes: ramps, sines and steps, common to all
arms or of some only. Time runs from 0 to 1 over the whole trial, so the same environment serves short and long ones.

Everything is a frozen record of plain numbers, so a specification file maps onto it field by field.
`bandit.simulation.streams` draws units and cells from it.
"""

from dataclasses import dataclass
from math import isfinite, pi
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats

ShapeKind = Literal["ramp", "sine", "step"]
_KINDS = ("ramp", "sine", "step")


@dataclass(frozen=True)
class Shape:
    """One movement of the rates over time.

    `ramp` rises linearly from 0 at `start` to `size` at `end`; `sine` swings by `size` in `cycles` between `start` and
    `end`; `step` is `size` from `start` until `end`. Outside `start` to `end` a ramp keeps its last value, the others
    are 0.
    """

    kind: ShapeKind
    size: float
    start: float = 0.0
    end: float = 1.0
    cycles: float = 1.0
    arms: tuple[int, ...] | None = None
    """Arms that move; all of them by default, which is common drift."""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"kind == {self.kind!r}, must be one of {', '.join(_KINDS)}")
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(
                f"start == {self.start:g}, end == {self.end:g}, must rise within [0, 1], parts of the trial"
            )
        if not (isfinite(self.size) and isfinite(self.cycles)):
            raise ValueError(f"size == {self.size}, cycles == {self.cycles}, must be finite")

    def at(self, time: Floats) -> Floats:
        """The movement at parts of the trial.

        >>> Shape("ramp", 0.2, start=0.5).at(np.array([0.0, 0.75, 1.0])).round(3).tolist()
        [0.0, 0.1, 0.2]
        """
        part = (time - self.start) / (self.end - self.start)
        if self.kind == "ramp":
            return self.size * np.clip(part, 0.0, 1.0)
        inside = (time >= self.start) & (time < self.end)
        wave = np.sin(2 * pi * self.cycles * part) if self.kind == "sine" else np.ones_like(part)
        return np.where(inside, self.size * wave, 0.0)


@dataclass(frozen=True)
class Delay:
    """How long feedback takes, exponentially distributed, in parts of the trial; 0 is at once.

    Different means for successes and failures are delays that depend on the outcome: what has arrived by some time is
    then a biased sample of what will.
    """

    success: float = 0.0
    failure: float = 0.0
    arms: tuple[int, ...] | None = None
    """Arms with this delay; all of them by default. The last delay that names an arm counts."""

    def __post_init__(self) -> None:
        if not (0 <= self.success < np.inf and 0 <= self.failure < np.inf):
            raise ValueError(
                f"delays == {self.success:g}, {self.failure:g}, must be finite parts of the trial >= 0"
            )


@dataclass(frozen=True)
class Users:
    """Sticky units: every unit is a user with several requests and a taste of its own."""

    requests_mean: float = 1.0
    """Mean requests of a unit: one, and a Poisson number of further ones."""
    rate_sd: float = 0.0
    """Standard deviation of a user's rate around its arm's."""

    def __post_init__(self) -> None:
        if not (1 <= self.requests_mean < np.inf and 0 <= self.rate_sd < np.inf):
            raise ValueError(
                f"requests_mean == {self.requests_mean:g} must be >= 1, rate_sd == {self.rate_sd:g} >= 0"
            )


@dataclass(frozen=True)
class Environment:
    """One entry per arm in the tuples; the first arm is the control."""

    rates: tuple[float, ...]
    """Chance of success of a request before any movement."""
    costs_usd: tuple[float, ...] = ()
    """Mean cost of a request; one cent by default."""
    cost_variation: float = 1.0
    """Coefficient of variation of a request's cost."""
    feedback: tuple[float, ...] = ()
    """Share of units whose feedback ever arrives; all by default."""
    shapes: tuple[Shape, ...] = ()
    cost_shapes: tuple[Shape, ...] = ()
    """Relative movements of the costs: a size of 0.5 is half as much again."""
    delays: tuple[Delay, ...] = ()
    users: Users = Users()

    def __post_init__(self) -> None:
        arms = len(self.rates)
        if arms < 1 or not all(0 <= rate <= 1 for rate in self.rates):
            raise ValueError(f"rates == {self.rates}, must be chances in [0, 1], one for each arm")
        _check_entries("costs_usd", self.costs_usd, arms, np.inf)
        _check_entries("feedback", self.feedback, arms, 1.0)
        if not 0 <= self.cost_variation < np.inf:
            raise ValueError(f"cost_variation == {self.cost_variation:g}, must be finite and >= 0")
        moving = [each.arms for each in (*self.shapes, *self.cost_shapes)]
        named = {arm for group in (*moving, *(delay.arms for delay in self.delays)) for arm in group or ()}
        if not all(0 <= arm < arms for arm in named):
            raise ValueError(f"shapes and delays name arms {sorted(named)}, there are 0 to {arms - 1}")

    @property
    def arms(self) -> int:
        """Number of arms."""
        return len(self.rates)

    def rates_at(self, time: Floats) -> Floats:
        """Chance of success at parts of the trial, cut to [0, 1]; shape (*time.shape, arms).

        >>> drop = Environment((0.7, 0.6), shapes=(Shape("step", -0.2, start=0.5, arms=(0,)),))
        >>> drop.rates_at(np.array([0.2, 0.8])).round(2).tolist()
        [[0.7, 0.6], [0.5, 0.6]]
        """
        moved = np.array(self.rates) + _movement(self.shapes, time, self.arms)
        return np.clip(moved, 0.0, 1.0)

    def costs_at(self, time: Floats) -> Floats:
        """Mean cost of a request at parts of the trial, never below zero; shape (*time.shape, arms)."""
        usd = np.array(self.costs_usd or (0.01,) * self.arms)
        return usd * np.maximum(1.0 + _movement(self.cost_shapes, time, self.arms), 0.0)

    @property
    def feedback_shares(self) -> Floats:
        """Share of units with feedback, by arm."""
        return np.array(self.feedback or (1.0,) * self.arms)

    def delays_of(self, arm: NDArray[np.int64], success: Floats) -> Floats:
        """Mean delay of feedback of units on these arms with a share `success` of good requests."""
        means = np.zeros((self.arms, 2))
        for delay in self.delays:
            means[list(delay.arms) if delay.arms is not None else slice(None)] = (
                delay.failure,
                delay.success,
            )
        result: Floats = means[arm, 0] + (means[arm, 1] - means[arm, 0]) * success
        return result


def _check_entries(name: str, given: tuple[float, ...], arms: int, high: float) -> None:
    if given and (len(given) != arms or not all(0 <= each <= high and isfinite(each) for each in given)):
        raise ValueError(
            f"{name} == {given}, must be {arms} finite numbers in [0, {high:g}], one for each arm"
        )


def _movement(shapes: tuple[Shape, ...], time: Floats, arms: int) -> Floats:
    total = np.zeros((*time.shape, arms))
    for shape in shapes:
        of = list(shape.arms) if shape.arms is not None else slice(None)
        total[..., of] += shape.at(time)[..., None]
    return total
