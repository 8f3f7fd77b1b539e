"""Parts of the report in mode shadow."""

from typing import Literal

from experiments.report.part import Number, Part


class PairFigure(Part):
    """One figure by pair: the copy's against the served answer's, with an always-valid interval."""

    metric: str
    pairs: int
    """Requests for which both models have the figure."""
    relative: bool
    """Whether the figures are relative changes (0.25 is a quarter more), or differences of rates."""
    value: Number
    low: Number
    high: Number
    p: Number
    """Always-valid, of no difference, at this look."""
    bound: Number
    """Bound that must be kept, from above, or where it is below 0 from below; null where none is stated."""
    state: Literal["holds", "open", "fails"] | None


class ShadowPart(Part):
    """One candidate that answers copies."""

    candidate: str
    asked: int
    """Copies whose call is known, in all epochs."""
    waiting: int = 0
    """Copies begun or offered whose pair may still come."""
    lost: int = 0
    """Copies whose pair never came: one side of it was not reported within the reward's window."""
    pairs: int
    """Requests that both models were asked, in settled epochs; what the tests read."""
    spent_usd: float
    """What the copies cost."""
    figures: tuple[PairFigure, ...]
