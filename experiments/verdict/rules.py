"""Rules of promotion: each condition with its state and the figures behind it.

Promotion is an intersection-union test (Berger 1982): every rule must hold, each at its own level, and no
further correction is due.
"""

from dataclasses import dataclass
from math import inf, log
from typing import Literal

from experiments.definition.experiment import Experiment
from experiments.evidence.volume import Volume
from experiments.inference.sequence import Sequence
from experiments.verdict.comparison import RELATIVE_MDE, Comparison, GuardrailEffect, level, relative

State = Literal["holds", "open", "fails"]

SMALLEST_SERVED = 0.95
"""Share of units that must have been answered by their own candidate, in both arms."""
SMALLEST_COSTED = 0.95
"""Share of called units whose cost must be known, in both arms, where units without one are left out."""
RARE_OUTCOMES = 20
FEWEST_UNITS, FEWEST_RATIO_UNITS = 50, 100


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition: where it stands, and the figures that say so."""

    name: str
    state: State
    sentence: str


@dataclass(frozen=True, slots=True)
class Candidacy:
    """One candidate's comparison with the control and the rules that follow from it."""

    comparison: Comparison
    rules: tuple[Rule, ...]

    def rule(self, name: str) -> Rule | None:
        """The rule of that name, if the experiment has it."""
        return next((rule for rule in self.rules if rule.name == name), None)

    @property
    def passes(self) -> bool:
        """Every rule holds."""
        return all(rule.state == "holds" for rule in self.rules)

    @property
    def passes_but_served(self) -> bool:
        """Every rule holds except that traffic was served as assigned."""
        return all(rule.state == "holds" for rule in self.rules if rule.name != "served")

    @property
    def harm(self) -> Rule | None:
        """The rule that shows the candidate to be worse than a bound allows."""
        return next(
            (rule for rule in self.rules if rule.state == "fails" and rule.name not in ("gain", "served")),
            None,
        )

    @property
    def keeps_bounds(self) -> bool:
        """Every rule holds but the gain: good enough to be measured against."""
        return all(rule.state == "holds" for rule in self.rules if rule.name != "gain")

    @property
    def futile(self) -> bool:
        """Nothing worthwhile can be gained any more, on enough data to say so."""
        states = {rule.name: rule.state for rule in self.rules}
        return states["gain"] == "fails" and states["data"] == "holds"


def candidacy(definition: Experiment, comparison: Comparison, volume: Volume) -> Candidacy:
    """The rules of one candidate on the evidence of one look."""
    data = _data(definition, comparison, volume)
    rules = (
        data,
        _not_worse(definition, comparison, volume, settled=data.state == "holds"),
        *_floor(definition, comparison, settled=data.state == "holds"),
        _gain(definition, comparison),
        *(_guardrail(effect) for effect in comparison.guardrails),
        _served(comparison, volume),
    )
    return Candidacy(comparison, rules)


def _data(definition: Experiment, comparison: Comparison, volume: Volume) -> Rule:
    """Enough units for the asymptotics, enough of the rarer outcomes, and costs known where they are needed."""
    least, arms = _fewest(definition), (0, comparison.arm)
    units = min(volume.units[arm] for arm in arms)
    rare = min(volume.rarer[arm] for arm in arms)
    if not _costs_known(definition, comparison, volume):
        costed = min(volume.costed[arm] for arm in arms)
        return Rule(
            "data", "open", f"the cost of {costed:.1%} of units is known; {SMALLEST_COSTED:.0%} are needed"
        )
    if units < least:
        return Rule("data", "open", f"{units:.0f} units with a reward in the smaller arm; {least} are needed")
    if rare < RARE_OUTCOMES:
        return Rule("data", "open", f"{rare:.0f} of an arm's rarer outcome; {RARE_OUTCOMES} are needed")
    if not comparison.reward.known:
        return Rule("data", "open", "too few units in epochs that both arms share")
    return Rule("data", "holds", f"{units:.0f} units with a reward in the smaller arm")


def _fewest(definition: Experiment) -> int:
    return FEWEST_RATIO_UNITS if definition.objective.needs_cost else FEWEST_UNITS


def _costs_known(definition: Experiment, comparison: Comparison, volume: Volume) -> bool:
    """Whether leaving out units without a cost cannot have picked them by their outcome."""
    costed = min(volume.costed[0], volume.costed[comparison.arm])
    return costed >= SMALLEST_COSTED or not definition.objective.needs_cost


def _not_worse(definition: Experiment, comparison: Comparison, volume: Volume, settled: bool) -> Rule:
    """Non-inferiority: the lower bound of the reward difference stays above minus the margin.

    Harm need not wait for enough rare outcomes, as a broken candidate may never show one; until then it is
    judged with the largest variance that the margin allows.
    """
    bound = -definition.objective.reward_margin
    low = comparison.not_worse_lower
    high = comparison.not_worse_upper if settled else comparison.not_worse_upper_early
    if not comparison.reward.known or not _costs_known(definition, comparison, volume):
        return Rule("not_worse", "open", f"reward against the control is not known yet; bound {bound:+g}")
    if low > bound:
        return Rule(
            "not_worse", "holds", f"reward is at least {low:+.4f} against the control; bound {bound:+g}"
        )
    if high < bound:
        return Rule(
            "not_worse", "fails", f"reward is at most {high:+.4f} against the control; bound {bound:+g}"
        )
    return Rule("not_worse", "open", f"reward may be {low:+.4f} against the control; bound {bound:+g}")


def _floor(definition: Experiment, comparison: Comparison, settled: bool) -> tuple[Rule, ...]:
    """The absolute bound on the candidate's own reward; on enough data it can be shown to be missed."""
    least = definition.objective.min_reward
    lower, upper = comparison.reward_floor_lower, comparison.reward_floor_upper
    if least is None or lower is None or upper is None:
        return ()
    if settled and upper < least:
        return (Rule("min_reward", "fails", f"mean reward is at most {upper:.4f}; bound {least:g}"),)
    state: State = "holds" if lower > least else "open"
    return (Rule("min_reward", state, f"mean reward is at least {max(lower, -1e9):.4f}; bound {least:g}"),)


def _gain(definition: Experiment, comparison: Comparison) -> Rule:
    """Cheaper by the smallest saving, or superior on the objective; fails when neither can be any more."""
    saving, kind = definition.decision.min_saving, definition.objective.kind
    bound = log(1 - saving)
    by_saving_only = kind == "cheapest_non_inferior"
    if comparison.cost.known and comparison.cost_upper < bound:
        return Rule("gain", "holds", f"costs at least {-relative(comparison.cost_upper):.0%} less per unit")
    if not by_saving_only and comparison.superior_lower > 0:
        return Rule("gain", "holds", f"better on {kind}")
    worthwhile = definition.decision.mde if kind == "reward" else log(1 + RELATIVE_MDE)
    no_saving = comparison.cost_lower > bound or not (
        comparison.cost.known or definition.objective.needs_cost
    )
    if no_saving and (by_saving_only or comparison.superior_upper < worthwhile):
        return Rule("gain", "fails", f"neither {saving:.0%} cheaper nor worthwhile on {kind}")
    return Rule("gain", "open", f"not shown yet to be {saving:.0%} cheaper, or better on {kind}")


def _guardrail(effect: GuardrailEffect) -> Rule:
    """A guardrail on its own scale: a difference for errors, a ratio for cost."""
    name = effect.guardrail.metric
    if not effect.effect.known:
        return Rule(name, "open", f"{name} against the control is not known yet")
    state: State = "holds" if effect.kept else "fails" if effect.harmed else "open"
    shown = effect.lower if effect.harmed else effect.upper
    side = "at least" if effect.harmed else "at most"
    if effect.guardrail.max_ratio is not None:
        return Rule(name, state, f"{name} is {side} {1 + relative(shown):.3g} times the control's; "
                                 f"bound {effect.guardrail.max_ratio:g}")  # fmt: skip
    return Rule(name, state, f"{name} is {side} {shown:+.4f} against the control; bound {effect.bound:+g}")


def _served(comparison: Comparison, volume: Volume) -> Rule:
    """A candidate that is mostly answered by its fallback looks "not worse"."""
    share = min(volume.served[0], volume.served[comparison.arm])
    state: State = "holds" if share >= SMALLEST_SERVED else "fails"
    return Rule(
        "served", state, f"{share:.1%} of units were served as assigned; {SMALLEST_SERVED:.0%} are needed"
    )


def units_needed(definition: Experiment, one: Candidacy, volume: Volume) -> float:
    """Further units over all arms until the open rules settle, if the present estimates were the truth.

    Information grows in proportion to units. Without an estimate: what the planned difference needs.
    """
    comparison, alpha = one.comparison, level(definition)
    if not _costs_known(definition, comparison, volume):
        return inf
    margin = Sequence(alpha, definition.objective.reward_margin)
    if not comparison.reward.known:
        spread = 0.25 * definition.reward.width**2
        planned = margin.information_needed(definition.objective.reward_margin) * 2 * spread
        return max(planned * len(definition.candidates) - volume.mature, FEWEST_RATIO_UNITS)
    reward = comparison.reward.estimate
    data = _growth_of_data(definition, comparison, volume)
    growth = max(
        _growth(margin, abs(reward.value + definition.objective.reward_margin), reward.information),
        data,
        _growth_of_gain(definition, comparison, data),
        *(_growth_of_guardrail(guard, alpha) for guard in comparison.guardrails if guard.effect.known),
    )
    return volume.mature * max(growth - 1, 0.0)


def _growth_of_data(definition: Experiment, comparison: Comparison, volume: Volume) -> float:
    """How many times the present units the rarer outcomes need."""
    arms = (0, comparison.arm)
    units, rare = min(volume.units[arm] for arm in arms), min(volume.rarer[arm] for arm in arms)
    if units <= 0 or rare <= 0:
        return inf
    return max(_fewest(definition) / units, RARE_OUTCOMES / rare)


def _growth_of_gain(definition: Experiment, comparison: Comparison, data: float) -> float:
    """The same for the nearer of a saving and a better objective; 1 where one of them is shown.

    While neither is estimated the answer is `data`: with enough units there will be an estimate.
    """
    decision, alpha = definition.decision, level(definition)
    saving = log(1 - decision.min_saving)
    if comparison.cost_upper < saving or comparison.superior_lower > 0:
        return 1.0
    if definition.objective.needs_cost and not comparison.cost.known:
        return data
    scale, cost = Sequence(alpha, log(1 + RELATIVE_MDE)), comparison.cost.estimate
    by_saving = _growth(scale, abs(saving - cost.value), cost.information)
    if definition.objective.kind == "cheapest_non_inferior":
        return by_saving
    if definition.objective.kind == "reward":
        better, scale = comparison.reward.estimate, Sequence(alpha, decision.mde)
    else:
        better = comparison.reward_per_cost.estimate
    return min(by_saving, _growth(scale, abs(better.value), better.information))


def _growth_of_guardrail(guard: GuardrailEffect, alpha: float) -> float:
    if guard.kept:
        return 1.0
    estimate = guard.effect.estimate
    return _growth(Sequence(alpha, guard.bound), abs(guard.bound - estimate.value), estimate.information)


def _growth(sequence: Sequence, distance: float, information: float) -> float:
    """How many times the present information a one-sided bound needs to clear this distance."""
    if information <= 0 or distance <= 0:
        return inf
    return sequence.information_needed(distance) / information
