"""The report: everything a user reads about an experiment, as one JSON document.

Every number carries its unit in its name, and null stands for "not enough data". The web page, the text
and the table are renderings of this document and compute nothing.
"""

from typing import Literal

from experiments.planning.days import Plan
from experiments.report.other_parts import DiscoveryPart, OtherPart
from experiments.report.part import Number as Number
from experiments.report.part import Part as Part
from experiments.report.shadow_part import ShadowPart


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
    fixed_p_holm: Number = None
    """Corrected by Holm's method for the number of candidates, where there are several."""
    fixed_p_bh: Number = None
    """The same by Benjamini and Hochberg's, which bounds the share of false discoveries."""
    fixed_method: str
    """Test used, or why there is none."""


class GuardrailPart(Part):
    """One guardrail of one candidate."""

    metric: str
    state: Literal["holds", "open", "fails"]
    sentence: str
    relative: bool
    """Whether the figures are relative changes (0.25 is a quarter more), or differences in the metric's unit."""
    value: Number
    """Candidate against control."""
    low: Number
    """Always-valid interval."""
    high: Number
    p: Number
    """Always-valid, of no difference, at this look."""
    bound: float
    """Value beyond which the candidate does harm: above it, or below it where the bound is negative."""


class MisroutedPart(Part):
    """Requests that feedback judged to belong to another task, over all candidates."""

    judged: int
    """Requests whose feedback says whether they belong here."""
    misrouted: int
    share: float
    low: float
    high: float
    sentence: str


class CalibrationPart(Part):
    """What a policy predicted of its success, beside what came of it."""

    requests: int
    """Predicted, answered by the chosen model, and with a reward in mature epochs."""
    brier_score: float
    """Mean squared distance of prediction and outcome: 0 is perfect, .25 is always saying one half."""
    expected_calibration_error: float
    """Mean distance of predicted and observed success in ten bins of equal width."""
    mean_predicted: float
    success_rate: float
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
    cost_per_request_usd: Number
    """Mean per request, of the same units."""
    reward_per_usd: Number
    error_rate: Number
    latency_p50_ms: Number
    """Of the candidate's own epochs, like its interval: differences between rows are not effects."""
    latency_p50_low_ms: Number
    """Always-valid interval."""
    latency_p50_high_ms: Number
    latency_p95_ms: Number
    latency_p95_low_ms: Number
    latency_p95_high_ms: Number
    reward_effect: EffectPart | None
    """Difference in reward units; null for the control."""
    cost_effect: EffectPart | None
    """Relative change of cost per unit: -0.5 is half the cost."""
    cost_per_request_effect: EffectPart | None
    """Relative change of cost per request; null where every unit is one request. A saving shows in both."""
    reward_per_cost_effect: EffectPart | None
    """Relative change of reward per US dollar."""
    net_value_per_1000_usd: Number = None
    """Mean net value of 1,000 requests in the current price version, for objective `net_value`; of its own epochs."""
    net_value_effect: EffectPart | None = None
    """Difference of net value, in US dollars per 1,000 requests."""
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
    reward_unclipped: Number = None
    """Mean reward per request as reported, where the declared range clips what is counted."""
    cost_uncapped_usd: Number = None
    """Mean cost per unit without the declared cap."""
    calibration: CalibrationPart | None = None
    """Null where it predicts no success, or units are not requests with binary rewards."""
    other: OtherPart | None = None
    """Other read-outs; null for the control."""


class SharesPart(Part):
    """Shares over the epochs, at most 300 points."""

    numbers: tuple[int, ...]
    opened_at_ms: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    """Per epoch, in the order of the candidates."""


class DriftPart(Part):
    """A change of candidates against the others."""

    candidates: tuple[str, ...]
    """One, or both of two: a difference does not say which of them changed."""
    change: float
    """Recent minus older reward against the others, of the candidate that the sentence names as moved."""
    error: float
    """Standard deviation of the change."""
    p: float
    """Two-sided, corrected for candidates and spans, at this look."""
    recent_epochs: int
    """Newest epochs that were compared with all before them."""
    sentence: str


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
    misrouted: MisroutedPart | None = None
    """Null where no feedback judged it."""
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
    """Of equal effects in all epochs, the smallest over candidates and corrected for their number."""
    heterogeneity_warning: str | None = None
    """What a small one means, in words."""
    discovery: DiscoveryPart | None = None
    """This experiment among all that run."""
    window_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None
    rendered_at_ms: int
    value_usd: Number = None
    """Worth of one unit of reward, for objective `net_value`."""
    budget_usd: Number = None
    """What a request may cost on average, for objective `budget`."""
    spend_per_request_usd: Number = None
    """Mean cost of a request so far, over all candidates and prices; what a budget is kept by."""
    drift: tuple[DriftPart, ...] = ()
    """Candidates that changed; the sentences stand among the warnings of health too."""
    plan: Plan | None = None
    """Units and days to a verdict, by what was seen so far; null in mode shadow, which has no shares."""
    shadow: tuple[ShadowPart, ...] = ()
    """Candidates that answer copies, in mode shadow: pairs of calls instead of effects of shares."""
