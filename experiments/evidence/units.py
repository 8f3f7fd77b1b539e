"""Unit rows and cells: how outcomes of one unit become additive sums of its (epoch, arm).

A unit row joins what arrives at different times (assignment, cost, reward, error). A cell is the sum of
its units' contributions, so every change of a unit row moves its cell by `after - before`: late,
repeated and superseding outcomes need no special case, and a cell equals its recomputation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from experiments.definition.experiment import Experiment
from experiments.definition.reward import PREDICTED
from experiments.evidence.predictions import bin_metric
from experiments.evidence.record import record

PRIMARY = "reward"
COST = "cost_usd"
ERROR = "error"
UNCOSTED = "reward_uncosted"
"""Rewards of units without a known cost, where the objective needs costs; usually there are none."""
UNCLIPPED = "reward_unclipped"
"""Rewards as they were reported, where those outside the range count as its nearer end."""
UNCAPPED = "cost_usd_uncapped"
"""Costs as they were, where a cap is declared."""

COUNTS = ("assigned", "called", "served", "errored", "feedback", "recovered", "degraded")
"""Numbers of units in a cell: assigned; with a call made; all calls answered by the assigned candidate;
with an error; with a known reward (reported, or implied by an error); recreated from a decision id;
decided while degraded (decisions, epoch 0)."""

MOMENTS = ("11", "1N", "1R", "1C", "1X", "NN", "NR", "NC", "NX", "RR", "RC", "RX", "CC", "CX", "XX")
"""Upper triangle of sum(z z') for z = (1, N, R, C, X): unit, requests, metric total, cost in USD, covariate."""

NO_METRICS: Mapping[str, tuple[int, float]] = {}
"""Of most units; one for all of them."""

Counts = tuple[int, int, int, int, int, int, int]
Triangle = tuple[float, ...]


@record(frozen=True, slots=True)
class UnitRow:
    """Everything known of one unit of an experiment; totals over its decisions."""

    experiment_id: int
    unit: bytes
    """16-byte digest of the unit's name."""
    epoch: int
    arm: int
    assigned_at_ms: int
    requests: int = 0
    """Decisions recorded; 0 while only feedback has arrived (`recovered`)."""
    calls: int = 0
    """Decisions whose call outcome is known."""
    errors: int = 0
    diverted: int = 0
    """Calls answered by another model than the assigned candidate."""
    costed: int = 0
    """Calls whose cost is known, or that failed without one: such a call counts as free."""
    cost_usd: float = 0.0
    feedback: int = 0
    """Decisions with reported reward."""
    rated: int = 0
    """Decisions with a reward, reported or implied by an error."""
    reward: float = 0.0
    first_number: int = 0
    """Smallest number among the recorded decisions; 0 while there is none."""
    covariate: float = 0.0
    """Of the first decision; 0 where it brought none, or is not there yet."""
    metrics: Mapping[str, tuple[int, float]] = field(default_factory=lambda: NO_METRICS)
    """Further metrics: number of decisions reporting it, and total."""


@record(frozen=True, slots=True)
class Contribution:
    """What one unit adds to its cell: counts in the order of COUNTS, one triangle per metric."""

    counts: Counts
    moments: dict[str, Triangle]


@dataclass(frozen=True, slots=True)
class CellRow:
    """Additive sums of one (experiment, epoch, arm), as stores return them."""

    epoch: int
    arm: int
    counts: Counts
    moments: dict[str, Triangle]
    latency: dict[int, int] = field(default_factory=dict)
    """Requests per latency bucket (experiments.evidence.latency)."""


def triangle(requests: float, total: float, cost: float, covariate: float) -> Triangle:
    """Upper triangle of z z' for one unit, in the order of MOMENTS."""
    n, r, c, x = requests, total, cost, covariate
    return (1.0, n, r, c, x, n * n, n * r, n * c, n * x, r * r, r * c, r * x, c * c, c * x, x * x)


def contribution(row: UnitRow, definition: Experiment) -> Contribution:
    """What `row` adds to its cell.

    - `reward`: units with reward and, if the objective needs it, the cost of every call; N = rated requests
      (all calls where `reward.missing` gives silence a value), C = the cost in proportion to N, so that
      reward per cost does not depend on how many requests were rated.
    - `reward_uncosted`: the same of units that the objective's need of a cost leaves out, C = 0: the sum of
      both is every rated unit.
    - `reward_unclipped`: the rewards as reported, where `reward.outside` is `clip`; every rated unit.
    - `cost_usd`: units whose every call has a known cost; R = C = cost, N = calls.
    - `cost_usd_uncapped`: the same costs without the cap, where one is declared.
    - `error`: units with a call; R = failed calls, N = calls.
    - `predicted_0` to `predicted_9`: units with a reward that the chosen model answered; N = what their policy
      predicted, R = the reward.
    - each further metric: units reporting it; N = reports. A guardrail's metric counts within its declared range.
    """
    moments: dict[str, Triangle] = {}
    x = row.covariate
    costed = row.calls > 0 and row.costed == row.calls
    cap = definition.objective.cost_cap_usd
    cost = row.cost_usd if cap is None else min(row.cost_usd, cap)
    if row.rated:
        rated, silent = row.rated, 0.0
        silence = definition.reward.missing
        if silence != "drop" and row.calls > rated:
            rated, silent = row.calls, silence * (row.calls - rated)
        share = (cost if rated == row.calls else cost * rated / row.calls) if costed else 0.0
        joint = costed or not definition.objective.needs_cost
        moments[PRIMARY if joint else UNCOSTED] = triangle(rated, row.reward + silent, share, x)
        if UNCLIPPED in row.metrics:
            moments[UNCLIPPED] = triangle(rated, row.metrics[UNCLIPPED][1] + silent, share, x)
    if costed:
        moments[COST] = triangle(row.calls, cost, cost, x)
        if cap is not None:
            moments[UNCAPPED] = triangle(row.calls, row.cost_usd, row.cost_usd, x)
    if row.calls:
        moments[ERROR] = triangle(row.calls, row.errors, cost if costed else 0.0, x)
    for metric, (reports, total) in row.metrics.items():
        if metric == PREDICTED:
            if row.rated and not row.diverted:
                moments[bin_metric(total)] = triangle(total, row.reward, 0.0, 0.0)
        elif metric != UNCLIPPED:
            counted = _within_range(definition, metric, reports, total)
            moments[metric] = triangle(reports, counted, cost if costed else 0.0, x)
    return Contribution(_counts(row), moments)


def _counts(row: UnitRow) -> Counts:
    """One for each kind of COUNTS that the unit is."""
    arrived, called = row.requests > 0, row.calls > 0
    return (
        arrived,
        called,
        called and row.diverted == 0,
        row.errors > 0,
        arrived and row.rated > 0,
        not arrived,
        0,
    )


def _within_range(definition: Experiment, metric: str, reports: int, total: float) -> float:
    """A unit's total of a metric, winsorised where a guardrail declares its range; the ledger keeps it raw."""
    rule = next((rule for rule in definition.guardrails if rule.metric == metric), None)
    return total if rule is None else rule.counted(reports, total)


class Outcome(NamedTuple):
    """What is known of one decision at some moment; the difference of two moves the unit row."""

    called: bool = False
    error: bool = False
    diverted: bool = False
    cost_usd: float | None = None
    reward: float | None = None
    reported: bool = False
    """The reward came as feedback and was not implied by an error."""
    metrics: tuple[tuple[str, float], ...] = ()


NOTHING = Outcome()


def decided(row: UnitRow, number: int, covariate: float | None, predicted: float | None = None) -> UnitRow:
    """The unit row with one more decision; `predicted` is kept where the unit is this one request.

    The smallest number brings the covariate, whichever arrives first: what was known before a later decision
    may be a consequence of the first.
    """
    if 0 < row.first_number < number:
        first_number, known = row.first_number, row.covariate
    else:
        first_number, known = number, covariate or 0.0
    metrics = row.metrics if predicted is None else {**row.metrics, PREDICTED: (1, predicted)}
    return UnitRow(
        row.experiment_id, row.unit, row.epoch, row.arm, row.assigned_at_ms, row.requests + 1, row.calls, row.errors,
        row.diverted, row.costed, row.cost_usd, row.feedback, row.rated, row.reward, first_number, known, metrics,
    )  # fmt: skip


def moved(row: UnitRow, before: Outcome, after: Outcome) -> UnitRow:
    """The unit row after one of its decisions went from `before` to `after`."""
    old_cost, new_cost = _cost(before), _cost(after)
    metrics = row.metrics
    if before.metrics != after.metrics:
        metrics = dict(metrics)
        for sign, outcome in ((-1, before), (1, after)):
            for name, value in outcome.metrics:
                reports, total = metrics.get(name, (0, 0.0))
                metrics[name] = (reports + sign, total + sign * value)
        metrics = {name: entry for name, entry in metrics.items() if entry[0]}
    return UnitRow(
        row.experiment_id,
        row.unit,
        row.epoch,
        row.arm,
        row.assigned_at_ms,
        row.requests,
        row.calls + after.called - before.called,
        row.errors + after.error - before.error,
        row.diverted + after.diverted - before.diverted,
        row.costed + (new_cost is not None) - (old_cost is not None),
        _total(row.cost_usd, old_cost, new_cost, row.costed),
        row.feedback + after.reported - before.reported,
        row.rated + (after.reward is not None) - (before.reward is not None),
        _total(row.reward, before.reward, after.reward, row.rated),
        row.first_number,
        row.covariate,
        metrics,
    )


def _cost(outcome: Outcome) -> float | None:
    """A failed call of unknown cost was free: leaving it out would hide the failure from the reward."""
    return 0.0 if outcome.error and outcome.cost_usd is None else outcome.cost_usd


def _total(total: float, before: float | None, after: float | None, known: int) -> float:
    """Replace `before` by `after` in a total; exact where the value was the only one in it."""
    if before == after:
        return total
    if known <= (before is not None):
        return 0.0 if after is None else after
    return total - (before or 0.0) + (after or 0.0)
