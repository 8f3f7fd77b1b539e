"""Parts of the document beside the deciding read-out: what else the same evidence says."""

from experiments.report.part import Number, Part


class IntervalPart(Part):
    """An effect with its always-valid interval."""

    value: Number
    low: Number
    high: Number


class ExactPart(Part):
    """Exact tests of the reward, which hold for rare outcomes too."""

    decides: bool
    """Whether they decide of the reward (`read_out: strict`)."""
    low: Number
    high: Number
    p: Number
    """Always-valid, of no difference."""
    e_value: Number
    """Of the same at this look."""
    not_worse_p: Number
    """Always-valid, of a loss of the margin or more."""
    reason: str
    """Why there are none; empty where there are."""


class CrossCheckPart(Part):
    """AIPW estimate of the reward difference from the logged propensities; never decides, not peeking-proof."""

    value: Number
    low: Number
    high: Number
    units: int
    """Rated units that it rests on."""
    agrees: bool | None
    """Whether the estimate lies within the deciding interval; null while one of them is not known."""
    sentence: str


class AdjustedPart(Part):
    """Reward difference with the covariate's part taken out (CUPED)."""

    decides: bool
    """Whether it is what the deciding test reads (`adjust: covariate`)."""
    value: Number
    low: Number
    high: Number
    plain_value: Number
    """The same without adjustment."""
    plain_low: Number
    plain_high: Number
    slope: float
    """Reward per unit of the covariate, within epochs and candidates."""
    variance_reduction: float
    """Share of the variance that the covariate explains."""


class OtherPart(Part):
    """Other read-outs of one candidate against the control."""

    promotion_p: Number
    """Always-valid p of the promotion rule (not worse, and a gain), the smallest over all looks."""
    promotion_e_value: Number
    """E-value of the promotion rule at this look; it may fall again."""
    detectable: Number
    """Smallest true difference of reward that would be shown now with a probability of 80%."""
    exact: ExactPart
    anytime: IntervalPart | None
    """Confidence sequence of the reward difference where the exact one decides."""
    cross_check: CrossCheckPart
    adjusted: AdjustedPart | None
    """Null where no unit brought a covariate."""
    reward_unclipped: IntervalPart | None
    """Difference of the rewards as reported, where the declared range clips them."""
    cost_uncapped: IntervalPart | None
    """Relative change of the cost per unit without its cap, where one is declared."""
    equivalence_p: Number
    """Fixed-horizon p of "the rewards differ by the margin or more" (two one-sided tests)."""


class DiscoveryPart(Part):
    """This experiment among all that run: advice, as the promotion rule reads one experiment only."""

    experiments: int
    """Running experiments, this one among them."""
    discoveries: int
    """How many of them can be believed together."""
    e_value: float
    needed: float
    """E-value with which this one is among them."""
    found: bool
    sentence: str
