"""The report: everything a user reads about an experiment, as one JSON document.

Every number carries its unit in its name, and null stands for "not enough data". The web page, the text
and the table are renderings of this document and compute nothing.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Number = float | None


class Part(BaseModel):
    """Base of the document's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class VerdictPart(Part):
    """What to do."""

    kind: str
    candidate: str | None
    sentence: str
    units_needed: int | None
    days_needed: Number
    would_change: str
    """What would change the verdict."""


class RulePart(Part):
    """One condition of promotion for one candidate."""

    candidate: str
    name: str
    state: Literal["holds", "open", "fails"]
    sentence: str


class RatioPart(Part):
    """One sample-ratio test."""

    count: Literal["assigned", "called", "feedback"]
    p: float
    """Always-valid, of the split as decided."""
    alarm: bool
    sentence: str


class HealthPart(Part):
    """Whether the data can be trusted."""

    ok: bool
    alarm: str | None
    warnings: tuple[str, ...]
    sample_ratio: tuple[RatioPart, ...]
    degraded_decisions: int
    recovered_units: int


class EffectPart(Part):
    """Candidate against control; always-valid interval and p, and the fixed-horizon ones beside them."""

    value: Number
    low: Number
    high: Number
    p: Number
    """Always-valid, the smallest over all looks."""
    fixed_low: Number
    fixed_high: Number
    fixed_p: Number
    fixed_method: str
    """Test used, or why there is none."""


class GuardrailPart(Part):
    """One guardrail of one candidate."""

    metric: str
    state: Literal["holds", "open", "fails"]
    sentence: str


class CandidatePart(Part):
    """One row of the table."""

    name: str
    is_control: bool
    dropped: str | None
    """Why it gets no further traffic."""
    share: float
    units: int
    """Assigned, in all epochs."""
    mature_units: int
    """With a counted reward in mature epochs; what the tests read."""
    missing_feedback: float
    served_as_assigned: float
    reward: Number
    """Mean per request; of the candidate's own epochs, so differences between rows are not effects."""
    cost_usd: Number
    """Mean per unit, in the current price version."""
    reward_per_usd: Number
    error_rate: Number
    latency_p50_ms: Number
    latency_p95_ms: Number
    reward_effect: EffectPart | None
    """Difference in reward units; null for the control."""
    cost_effect: EffectPart | None
    """Relative change of cost per unit: -0.5 is half the cost."""
    reward_per_cost_effect: EffectPart | None
    """Relative change of reward per US dollar."""
    chance_to_win: Number
    """On the reward; Bayesian, not proof against peeking."""
    chance_not_worse: Number
    """That the loss of reward is under the margin."""
    expected_loss: Number
    """Reward lost on average if it is chosen and is worse."""
    saved_usd_per_day: Number
    """If promoted, at the present traffic."""
    saved_usd_per_day_low: Number
    saved_usd_per_day_high: Number
    guardrails: tuple[GuardrailPart, ...]


class SharesPart(Part):
    """Shares over the epochs, at most 300 points."""

    numbers: tuple[int, ...]
    opened_at_ms: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    """Per epoch, in the order of the candidates."""


class Report(Part):
    """The whole document."""

    format: Literal[1] = 1
    experiment: str
    task: str
    hypothesis: str
    state: str
    ended_because: str
    mode: str
    unit: str
    objective: str
    read_out: str
    reward_metric: str
    reward_margin: float
    min_saving: float
    alpha: float
    mde: float
    control: str
    candidates: tuple[CandidatePart, ...]
    verdict: VerdictPart
    rules: tuple[RulePart, ...]
    health: HealthPart
    shares: SharesPart
    units: int
    mature_units: int
    units_per_day: float
    epochs: int
    mature_epochs: int
    looks: int
    fixed_units_per_arm: int
    """Planned units an arm of a fixed test at 80% power; its read-out counts only from there on."""
    fixed_reached: bool
    fixed_valid: bool
    """Whether shares never moved, which a fixed-horizon test needs."""
    heterogeneity_p: Number
    """Of equal effects in all epochs (largest candidate); small values say the effect changes over time."""
    window_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None
    rendered_at_ms: int
