"""Pairs: what the copy of a request says beside the answer that was served, and what copies cost so far.

What a pair says is feedback on the copy's decision, so that it is counted once, kept and exported as all feedback is.
"""

from math import log
from typing import Literal

from experiments.definition.reward import PAIR_COST, PAIR_ERROR, PAIR_LATENCY
from experiments.evidence.units import COST, MOMENTS, UNCAPPED
from storage.records import CallRow, FeedbackRow
from storage.store import Store

Fate = Literal["paired", "full", "late", "budget", "unpriced", "ended", "lost"]
"""What became of a copy: compared; or left out because too many wait, it waited too long, the day's money is
spent, the price is unknown, the experiment ended; or lost with the ledger."""
DAY_MS = 86_400_000
SHORTEST_MS, LARGEST_RATIO = 0.1, 1_000.0
"""Bounds of a latency and of a ratio of two, so that no single pair outweighs all others."""
TURN_MS = 60_000
"""How long after midnight an epoch may close and still count for the day before."""
_COST = MOMENTS.index("1R")


def pair_row(served: CallRow, copy: CallRow, now_ms: int) -> FeedbackRow:
    """The pair as feedback on the copy.

    Errors are compared always; latency and cost where both models answered themselves, as a failure has a
    latency and a cost of another kind.
    """
    failed = served.error is not None or served.diverted
    values = [(PAIR_ERROR, float(copy.error is not None) - float(failed))]
    if not failed and copy.error is None:
        ratio = max(copy.latency_ms, SHORTEST_MS) / max(served.latency_ms, SHORTEST_MS)
        values.append((PAIR_LATENCY, log(min(max(ratio, 1 / LARGEST_RATIO), LARGEST_RATIO))))
        if served.cost_usd is not None and copy.cost_usd is not None:
            values.append((PAIR_COST, served.cost_usd))
    return FeedbackRow(
        copy.number, copy.experiment_id, copy.epoch, copy.arm, copy.unit, tuple(values), now_ms
    )


def spent_today_usd(store: Store, experiment_id: int, now_ms: int) -> float:
    """What the copies of the epochs of this day (UTC) cost; the planner closes epochs of mode shadow at midnight.

    An epoch that stands open from the day before counts whole: money is rather not spent than spent twice.
    """
    midnight = now_ms - now_ms % DAY_MS
    today = [
        epoch.number
        for epoch in store.epochs(experiment_id)
        if epoch.number > 0 and (epoch.closed_at_ms is None or epoch.closed_at_ms > midnight + TURN_MS)
    ]
    rows = store.cells(experiment_id, min(today)) if today else []
    copies = [row.moments for row in rows if row.arm > 0 and row.epoch > 0]
    return sum((moments.get(UNCAPPED) or moments[COST])[_COST] for moments in copies if COST in moments)
