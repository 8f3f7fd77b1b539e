"""Bars: what was promised, what was seen, and whether chance alone can explain the difference."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

import numpy as np
from scipy.stats import beta, binom, norm

from evaluation.calibration.powers import HARMED
from evaluation.calibration.run import Results
from evaluation.calibration.scenarios import Scenario
from evaluation.calibration.trials import LONGEST_MEDIAN, Trial, Tried
from evaluation.calibration.world import Run

ALPHA = 0.05
BELIEF = 0.01
"""A bar is missed when a simulation that just meets it would look as bad with less than this probability."""

MISSES = 0.2
"""Share of runs that may miss what is to be found: a power of 80%."""

State = Literal["met", "above, within chance", "MISSED"]


@dataclass(frozen=True)
class Bar:
    """One promise with the figure that was measured."""

    name: str
    promised: str
    measured: str
    state: State

    @property
    def missed(self) -> bool:
        """Whether the promise is refuted."""
        return self.state == "MISSED"


def bars(results: Results) -> tuple[Bar, ...]:
    """All bars that these results speak to."""
    found: list[Bar] = []
    for scenario in results.plan.scenarios:
        runs = results.runs[scenario.name]
        found.extend(_of_null(scenario, runs) if scenario.kind == "null" else _of_power(scenario, runs))
    for trial in results.plan.trials:
        found.extend(_of_trial(trial, results.tried[trial.name]))
    return (*found, *_of_regret(results))


def interval(events: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a probability (Clopper and Pearson 1934).

    >>> [round(bound, 4) for bound in interval(8, 100)]
    [0.0352, 0.1516]
    """
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, events, trials - events + 1)) if events else 0.0
    high = float(beta.isf(tail, events + 1, trials - events)) if events < trials else 1.0
    return low, high


def rare_enough(name: str, events: int, trials: int, rate: float = ALPHA) -> Bar:
    """A bar on an error rate, by the exact binomial tail.

    >>> rare_enough("wrong", 31, 400).state, rare_enough("wrong", 32, 400).state
    ('above, within chance', 'MISSED')
    """
    refuted = float(binom.sf(events - 1, trials, rate)) < BELIEF
    state: State = "MISSED" if refuted else "met" if events <= rate * trials else "above, within chance"
    return Bar(name, f"<= {rate:g}", f"{events} of {trials}", state)


def small_enough(name: str, values: list[float], bound: float, form: str = ",.0f") -> Bar:
    """A bar on a mean, by its standard error; `form` is how figures are written."""
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / sqrt(len(values))
    refuted = mean - float(norm.isf(BELIEF)) * error > bound
    state: State = "MISSED" if refuted else "met" if mean <= bound else "above, within chance"
    return Bar(name, f"<= {bound:{form}}", f"{mean:{form}} +- {error:{form}}", state)


def _of_null(scenario: Scenario, runs: list[Run]) -> Iterator[Bar]:
    wrong = "guardrail wrongly kept" if scenario.question == "guardrail" else "wrong promotion"
    if not scenario.watching:
        yield rare_enough(f"{scenario.title}: {wrong}", count(runs, "promoted_at"), len(runs), scenario.alpha)
    yield rare_enough(f"{scenario.title}: wrong drop", count(runs, "dropped_at"), len(runs), scenario.alpha)
    yield from _of_interval(scenario, runs)


def _of_interval(scenario: Scenario, runs: list[Run]) -> Iterator[Bar]:
    if scenario.has_interval:
        yield rare_enough(
            f"{scenario.title}: interval misses at some look",
            sum(run.missed for run in runs),
            len(runs),
            scenario.alpha,
        )


def _of_power(scenario: Scenario, runs: list[Run]) -> Iterator[Bar]:
    """Durations where a fixed test is planned; elsewhere the interval, and harm that is dropped and not promoted."""
    yield from _of_interval(scenario, runs)
    if scenario.name in HARMED:
        first = scenario.horizon // 2 if scenario.regression else 0
        caught = sum(run.dropped_at is not None and run.dropped_at >= first for run in runs)
        if not scenario.watching:
            yield rare_enough(
                f"{scenario.title}: promoted", count(runs, "promoted_at"), len(runs), scenario.alpha
            )
        yield rare_enough(
            f"{scenario.title}: not dropped by {scenario.horizon:,} units",
            len(runs) - caught,
            len(runs),
            MISSES,
        )
    if scenario.fixed_units is None:
        return
    planned = scenario.fixed_units
    units = [float(run.units) for run in runs]
    if scenario.name == "twice":
        yield small_enough(f"{scenario.title}: mean units (.45 n_fix)", units, 0.45 * planned)
        return
    yield small_enough(f"{scenario.title}: mean units (1.25 n_fix)", units, 1.25 * planned)
    late = sum(run.promoted_at is None or run.promoted_at > 1.9 * planned for run in runs)
    yield rare_enough(
        f"{scenario.title}: not promoted by {ceil(1.9 * planned):,} units", late, len(runs), MISSES
    )


def _of_trial(trial: Trial, tried: list[Tried]) -> Iterator[Bar]:
    """The bars that a trial speaks to."""
    ends = [one.requests for one in tried if one.requests is not None]
    if ends:
        late = sum(requests > LONGEST_MEDIAN for requests in ends)
        yield rare_enough(f"{trial.title}: later than {LONGEST_MEDIAN:,} requests", late, len(ends), 0.5)
        yield rare_enough(f"{trial.title}: wrong", sum(bool(one.wrong) for one in tried), len(tried))
    if trial.shortfall is not None:
        missed = [one.shortfall for one in tried if one.shortfall is not None]
        yield small_enough(f"{trial.title}: part of the oracle missed", missed, trial.shortfall, ".4f")
    if trial.spend is not None:
        spent = [one.spend for one in tried if one.spend is not None]
        yield small_enough(f"{trial.title}: spend over budget", spent, trial.spend, ".4f")


def _of_regret(results: Results) -> Iterator[Bar]:
    for setting in results.plan.settings:
        yield small_enough(
            f"regret: {setting.title}", results.regrets[setting.name, "Pointsman"], setting.bar
        )


def count(runs: list[Run], what: Literal["promoted_at", "dropped_at"]) -> int:
    """Runs in which it happened."""
    return sum(getattr(run, what) is not None for run in runs)
