"""Standing: what a tick knows beside the evidence."""

from dataclasses import dataclass

from bandit.pooling import Contrast
from experiments.evidence.evidence import Evidence
from experiments.verdict.progress import Progress


@dataclass(frozen=True)
class Standing:
    """What a tick knows beside the evidence."""

    seed: int
    """The experiment's id: with the epoch's number it seeds the allocation's draws."""
    started_at_ms: int
    dropped: tuple[int, ...]
    progress: Progress
    list_costs_usd: tuple[float, ...]
    """Expected cost per unit of each candidate by the price list."""
    price_version: str
    model_version: str = ""
    watching: bool = False
    """A holdback: its tests start anew with new prices or models, and watch the newest traffic by itself."""
    pooled: tuple[tuple[int, Contrast], ...] = ()
    """What other experiments found of arms against this control, in widths of the reward; allocation alone reads
    it (`bandit.pool`)."""


def in_force(everything: Evidence, standing: Standing) -> tuple[int, int]:
    """The price and model versions in force; one that no epoch has yet starts without any evidence."""
    if not everything.epochs:
        return 0, 0
    newest = everything.epochs[-1]
    return (
        newest.cost_series + (newest.price_version != standing.price_version),
        newest.model_series + (newest.model_version != standing.model_version),
    )
