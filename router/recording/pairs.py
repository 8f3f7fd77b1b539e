"""Pairs: what the copy of a request says beside the answer that was served, and what copies cost so far.

What a pair says is feedback on the copy's decision, so that it is counted once, kept and exported as all feedback is.
"""

from dataclasses import dataclass
from typing import Literal

from experiments.evidence.pairs import Side, pair_values
from experiments.evidence.units import COST, COUNTS, MOMENTS, UNCAPPED
from storage.records import CallRow, FeedbackRow
from storage.store import Store

Fate = Literal["paired", "full", "late", "budget", "unpriced", "ended", "lost", "limit", "offered"]
"""What became of a copy: compared; or left out because too many wait, it waited too long, the day's money is
spent, the price is unknown, the experiment ended; lost with the ledger; held back by a limit of the candidate;
or left to the caller to make."""
DAY_MS = 86_400_000
TURN_MS = 60_000
"""How long after midnight an epoch may close and still count for the day before."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What the copies of a day come to."""

    usd: float
    """What those cost whose cost is known."""
    waiting: int
    """Copies whose cost is not known: under way, not reported yet, or never."""
    usual_usd: float
    """What one of them is expected to cost: the mean of the known ones weighted by their cost, above their mean."""


def pair_row(served: CallRow, copy: CallRow, now_ms: int) -> FeedbackRow:
    """The pair as feedback on the copy."""
    answered = Side(served.error is not None or served.diverted, served.latency_ms, served.cost_usd)
    asked = Side(copy.error is not None, copy.latency_ms, copy.cost_usd)
    values = tuple(pair_values(answered, asked))
    return FeedbackRow(copy.number, copy.experiment_id, copy.epoch, copy.arm, copy.unit, values, now_ms)


def spent_today_usd(store: Store, experiment_id: int, now_ms: int) -> float:
    """What the copies of the epochs of this day (UTC) cost, as far as it is known."""
    return spending_today(store, experiment_id, now_ms).usd


def spending_today(store: Store, experiment_id: int, now_ms: int) -> Spending:
    """Copies of the epochs of this day (UTC); the planner closes epochs of mode shadow at midnight.

    An epoch that stands open from the day before counts whole: money is rather not spent than spent twice.
    """
    midnight = now_ms - now_ms % DAY_MS
    today = [
        epoch.number
        for epoch in store.epochs(experiment_id)
        if epoch.number > 0 and (epoch.closed_at_ms is None or epoch.closed_at_ms > midnight + TURN_MS)
    ]
    rows = store.cells(experiment_id, min(today)) if today else []
    copies = [row for row in rows if row.arm > 0 and row.epoch > 0]
    costs = [row.moments.get(UNCAPPED) or row.moments[COST] for row in copies if COST in row.moments]
    count, usd, squares = (sum(each[MOMENTS.index(name)] for each in costs) for name in ("11", "1C", "CC"))
    begun = sum(row.counts[COUNTS.index("assigned")] for row in copies)
    return Spending(usd, max(begun - round(count), 0), squares / usd if usd > 0 else 0.0)
