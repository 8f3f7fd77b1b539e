"""Other read-outs of one comparison: exact, cross-checked, adjusted, and of what was clipped or capped."""

from math import exp, log

from bandit.cells import Z
from experiments.definition.experiment import Experiment
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import PRIMARY, UNCAPPED, UNCLIPPED
from experiments.inference.aipw import CrossCheck, aipw_difference
from experiments.inference.cuped import Adjusted, adjusted, has_covariate
from experiments.inference.effects import differences, log_ratios
from experiments.inference.equivalence import equivalence_p
from experiments.inference.fixed_horizon import sums
from experiments.inference.not_enough import NotEnoughData
from experiments.inference.sequence import Estimate, Sequence
from experiments.planning.power import detectable
from experiments.report.document import EffectPart
from experiments.report.exact_read_out import exact_part
from experiments.report.numbers import number
from experiments.report.other_parts import AdjustedPart, CrossCheckPart, IntervalPart, OtherPart
from experiments.verdict.comparison import LARGEST_LOG_E, RELATIVE_MDE, Comparison, level, relative
from experiments.verdict.progress import Progress

NOT_KNOWN = IntervalPart(value=None, low=None, high=None)


def other_read_outs(
    definition: Experiment,
    mature: Evidence,
    current: Evidence,
    comparison: Comparison,
    deciding: EffectPart,
    progress: Progress,
) -> OtherPart:
    """All of a candidate; `deciding` is the reward effect that the promotion rule reads."""
    smallest = progress.smallest_p.get(comparison.candidate, {})
    known = comparison.reward.known
    plain = Sequence(level(definition), definition.decision.mde)
    reward = comparison.reward
    return OtherPart(
        promotion_p=min(smallest.get("deciding", 1.0), comparison.p_deciding) if known else None,
        promotion_e_value=exp(min(comparison.log_e_deciding, LARGEST_LOG_E)) if known else None,
        detectable=number(detectable(plain, reward.estimate.information)) if known else None,
        exact=exact_part(definition, mature, comparison),
        anytime=None if comparison.exact is None else interval_part(reward.estimate, plain),
        cross_check=_cross_check(definition, mature, comparison, deciding),
        adjusted=_adjusted(definition, mature, comparison, plain),
        reward_unclipped=_unclipped(definition, mature, comparison, plain),
        cost_uncapped=_uncapped(definition, current, comparison),
        equivalence_p=_equivalence(definition, mature, comparison),
    )


def interval_part(estimate: Estimate, sequence: Sequence) -> IntervalPart:
    """A difference with its confidence sequence."""
    if estimate.information <= 0:
        return NOT_KNOWN
    low, high = sequence.interval(estimate)
    return IntervalPart(value=estimate.value, low=number(low), high=number(high))


def _cross_check(
    definition: Experiment, mature: Evidence, comparison: Comparison, deciding: EffectPart
) -> CrossCheckPart:
    middle = sum(definition.reward.range) / 2
    found = aipw_difference(
        mature.metric(PRIMARY), mature.shares, 0, comparison.arm, middle, level(definition)
    )
    if isinstance(found, NotEnoughData):
        return CrossCheckPart(value=None, low=None, high=None, units=0, agrees=None, sentence=found.reason)
    agrees = _agrees(found, deciding)
    return CrossCheckPart(
        value=found.value, low=found.low, high=found.high, units=found.units, agrees=agrees,
        sentence=_SENTENCES[agrees],
    )  # fmt: skip


_SENTENCES = {
    None: "The deciding estimate is not known yet.",
    True: "It agrees: it lies within the deciding interval.",
    False: (
        "It disagrees: it lies outside the deciding interval. Most likely feedback comes at different rates by "
        "candidate, which misleads this estimate and not the deciding one; see the health of the data."
    ),
}


def _agrees(found: CrossCheck, deciding: EffectPart) -> bool | None:
    if deciding.low is None or deciding.high is None:
        return None
    return deciding.low <= found.value <= deciding.high


def _adjusted(
    definition: Experiment, mature: Evidence, comparison: Comparison, sequence: Sequence
) -> AdjustedPart | None:
    cells, width = mature.metric(PRIMARY), definition.reward.width
    if not has_covariate(cells):
        return None
    found: Adjusted = adjusted(cells)
    effect, plain = (
        interval_part(differences(each, 0, [comparison.arm], width)[0], sequence)
        for each in (found.cells, cells)
    )
    return AdjustedPart(
        decides=definition.decision.adjust == "covariate",
        value=effect.value, low=effect.low, high=effect.high,
        plain_value=plain.value, plain_low=plain.low, plain_high=plain.high,
        slope=found.slope,
        variance_reduction=found.variance_reduction,
    )  # fmt: skip


def _unclipped(
    definition: Experiment, mature: Evidence, comparison: Comparison, sequence: Sequence
) -> IntervalPart | None:
    """The rewards as reported: their mean is not bounded, so a few of them may carry it."""
    if UNCLIPPED not in mature.cells:
        return None
    cells = mature.metric(UNCLIPPED)
    return interval_part(differences(cells, 0, [comparison.arm], definition.reward.width)[0], sequence)


def _uncapped(definition: Experiment, current: Evidence, comparison: Comparison) -> IntervalPart | None:
    if UNCAPPED not in current.cells:
        return None
    estimate = log_ratios(current.metric(UNCAPPED), 0, [comparison.arm], Z.COST, Z.UNIT)[0]
    if estimate.information <= 0:
        return NOT_KNOWN
    low, high = Sequence(level(definition), log(1 + RELATIVE_MDE)).interval(estimate)
    return IntervalPart(
        value=relative(estimate.value), low=number(relative(low)), high=number(relative(high))
    )


def _equivalence(definition: Experiment, mature: Evidence, comparison: Comparison) -> float | None:
    pooled = mature.metric(PRIMARY).pooled()
    found = equivalence_p(sums(pooled[0]), sums(pooled[comparison.arm]), definition.objective.reward_margin)
    return None if isinstance(found, NotEnoughData) else number(found)
