"""Rules of promotion: each condition with its state and the figures behind it.

Promotion is an intersection-union test (Berger 1982): every rule must hold, each at its own level, and no
further correction is due.
"""

from math import inf, log
from typing import Literal

from experiments.definition.experiment import Experiment
from experiments.evidence.record import record
from experiments.evidence.volume import Volume
from experiments.inference.sequence import Sequence
from experiments.verdict.comparison import RELATIVE_MDE, Comparison, gain_level, gain_size, level, relative
from experiments.verdict.guards import RARE_OUTCOMES, SMALLEST_COSTED, GuardrailEffect
from experiments.verdict.spending import RELATIVE_SIZE
from experiments.verdict.strict import ExactReward

State = Literal["holds", "open", "fails"]

SMALLEST_SERVED = 0.95
"""Share of units that must have been answered by their own candidate, in both arms."""
FEWEST_UNITS, FEWEST_RATIO_UNITS = 50, 100
UNBOUNDED_GROWTH = 2.0
"""How many times the present units a guardrail needs at least while it has no upper bound."""
NO_HARM = ("gain", "budget", "served")
"""Rules that a candidate may fail and keep its traffic."""


@record(frozen=True, slots=True)
class Rule:
    """One condition: where it stands, and the figures that say so."""

    name: str
    state: State
    sentence: str


@record(frozen=True, slots=True)
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
            (rule for rule in self.rules if rule.state == "fails" and rule.name not in NO_HARM),
            None,
        )

    @property
    def keeps_bounds(self) -> bool:
        """Every rule holds but the gain: good enough to be measured against."""
        return all(rule.state == "holds" for rule in self.rules if rule.name != "gain")

    @property
    def costs_known(self) -> bool:
        """Costs of nearly all units are known, or the objective asks for none."""
        rule = self.rule("costs")
        return rule is None or rule.state == "holds"

    @property
    def futile(self) -> bool:
        """Nothing worthwhile can be gained any more, on enough data to say so."""
        states = {rule.name: rule.state for rule in self.rules}
        return "fails" in (states["gain"], states.get("budget")) and states["data"] == "holds"


def candidacy(definition: Experiment, comparison: Comparison, volume: Volume) -> Candidacy:
    """The rules of one candidate on the evidence of one look."""
    data = _data(definition, comparison, volume)
    costs_known = _costs_known(comparison, volume)
    rules = (
        data,
        *_costs(definition, comparison, volume),
        _not_worse(definition, comparison, settled=data.state == "holds"),
        *_floor(definition, comparison, _near_normal(comparison, volume) and data.state == "holds"),
        _gain(definition, comparison, costs_known),
        *_budget(definition, comparison, costs_known),
        *(_guardrail(effect) for effect in comparison.guardrails),
        _served(comparison, volume),
    )
    return Candidacy(comparison, rules)


def few_data(definition: Experiment, volume: Volume) -> bool:
    """Whether any arm has too few units, or too few of a rarer outcome, for the asymptotics."""
    return min(volume.units) < _fewest(definition) or min(volume.rarer) < RARE_OUTCOMES


def _data(definition: Experiment, comparison: Comparison, volume: Volume) -> Rule:
    """Enough units for the asymptotics, and enough of the rarer outcomes."""
    least, arm = _fewest(definition), comparison.arm
    units, rare = min(volume.units[0], volume.units[arm]), min(volume.rarer[0], volume.rarer[arm])
    if units < least:
        return Rule("data", "open", f"{units:.0f} units with a reward in the smaller arm; {least} are needed")
    if rare < RARE_OUTCOMES and comparison.exact is None:
        return Rule("data", "open", f"{rare:.0f} of an arm's rarer outcome; {RARE_OUTCOMES} are needed")
    if not comparison.reward.known:
        return Rule("data", "open", "too few units in epochs that both arms share")
    return Rule("data", "holds", f"{units:.0f} units with a reward in the smaller arm")


def _fewest(definition: Experiment) -> int:
    return FEWEST_RATIO_UNITS if definition.objective.needs_cost else FEWEST_UNITS


def _costs(definition: Experiment, comparison: Comparison, volume: Volume) -> tuple[Rule, ...]:
    """Costs known of nearly all units, where the objective compares them; rewards are judged without."""
    if not definition.objective.needs_cost:
        return ()
    if not _costs_known(comparison, volume):
        return (Rule("costs", "open", _costed(comparison, volume)),)
    return (_uncalled("costs", comparison, volume) or Rule("costs", "holds", _costed(comparison, volume)),)


def _costs_known(comparison: Comparison, volume: Volume) -> bool:
    """Whether leaving out units without a cost cannot have picked them by their outcome."""
    return min(volume.costed[0], volume.costed[comparison.arm]) >= SMALLEST_COSTED


def _costed(comparison: Comparison, volume: Volume) -> str:
    costed = min(volume.costed[0], volume.costed[comparison.arm])
    return f"the cost of {costed:.1%} of units is known; {SMALLEST_COSTED:.0%} are needed to compare costs"


def _near_normal(comparison: Comparison, volume: Volume) -> bool:
    """Whether both arms have enough of the rarer outcome for a mean; exact tests need none."""
    return min(volume.rarer[0], volume.rarer[comparison.arm]) >= RARE_OUTCOMES


def _not_worse_exactly(definition: Experiment, exact: ExactReward) -> Rule:
    """Non-inferiority by the exact tests of a strict experiment; a loss that was shown is harm."""
    margin, alpha = definition.objective.reward_margin, level(definition)
    if exact.worse.p <= alpha:
        return Rule(
            "not_worse", "fails",
            f"the exact test shows a loss of more than {margin:g} of reward (p {exact.worse.p:.2g}, level {alpha:.2g})",
        )  # fmt: skip
    known = f"p {exact.not_worse.p:.2g}, level {alpha:.2g}"
    if exact.not_worse.p <= alpha:
        return Rule(
            "not_worse", "holds", f"the exact test rules out a loss of {margin:g} of reward or more ({known})"
        )
    return Rule(
        "not_worse", "open", f"the exact test does not rule out a loss of {margin:g} of reward yet ({known})"
    )


def _not_worse(definition: Experiment, comparison: Comparison, settled: bool) -> Rule:
    """Non-inferiority: the lower bound of the reward difference stays above minus the margin.

    Harm need not wait for enough rare outcomes, as a broken candidate may never show one; until then it is
    judged with the largest variance that the margin allows.
    """
    bound = -definition.objective.reward_margin
    low = comparison.not_worse_lower
    high = comparison.not_worse_upper if settled else comparison.not_worse_upper_early
    if comparison.exact is not None:
        return _not_worse_exactly(definition, comparison.exact)
    if not comparison.reward.known:
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
    state: State = "holds" if settled and lower > least else "open"
    return (Rule("min_reward", state, f"mean reward is at least {max(lower, -1e9):.4f}; bound {least:g}"),)


def _gain(definition: Experiment, comparison: Comparison, costs_known: bool) -> Rule:
    """Cheaper by the smallest saving, or superior on the objective; fails when neither can be any more.

    A saving shows per unit and per request, where those differ: talks that end early are cheap per unit,
    many short requests are cheap per request, and neither is a saving by itself.
    """
    saving, kind = definition.decision.min_saving, definition.objective.kind
    bound = log(1 - saving)
    by_saving_only = kind == "cheapest_non_inferior"
    per = "" if comparison.cost is comparison.cost_per_request else " per unit and per request"
    if not costs_known and definition.objective.needs_cost:
        return Rule("gain", "open", "the costs of too few units are known to show a gain")
    if costs_known and comparison.cost.known and comparison.cost_upper < bound:
        return Rule(
            "gain", "holds", f"costs at least {-relative(comparison.cost_upper):.0%} less{per or ' per unit'}"
        )
    if not by_saving_only and _superior(definition, comparison):
        return Rule("gain", "holds", f"better on {kind}")
    no_saving = (costs_known and comparison.cost_lower > bound) or not (
        comparison.cost.known or definition.objective.needs_cost
    )
    if no_saving and (by_saving_only or _nothing_worthwhile(definition, comparison)):
        return Rule("gain", "fails", f"neither {saving:.0%} cheaper{per} nor worthwhile on {kind}")
    return Rule("gain", "open", f"not shown yet to be {saving:.0%} cheaper{per}, or better on {kind}")


def _budget(definition: Experiment, comparison: Comparison, costs_known: bool) -> tuple[Rule, ...]:
    """Alone, the candidate costs less than the budget; one that costs more may stay in the mixture."""
    spent, budget_usd = comparison.spending, definition.objective.budget_usd
    if spent is None or budget_usd is None:
        return ()
    bound = f"budget {budget_usd:g}"
    if not costs_known or spent.mean.information <= 0:
        return (Rule("budget", "open", f"the mean cost of a request is not known yet; {bound} US dollars"),)
    if spent.broken:
        least = spent.lower * budget_usd
        return (Rule("budget", "fails", f"a request costs at least {least:.3g} US dollars; {bound}"),)
    state: State = "holds" if spent.kept else "open"
    return (
        Rule("budget", state, f"a request costs at most {spent.upper * budget_usd:.3g} US dollars; {bound}"),
    )


def _superior(definition: Experiment, comparison: Comparison) -> bool:
    """Shown to be better on the objective; of the reward an exact test says so where there is one."""
    if comparison.exact is not None and definition.objective.gains_reward:
        return comparison.exact.better.p <= gain_level(definition)
    return comparison.superior_lower > 0


def _nothing_worthwhile(definition: Experiment, comparison: Comparison) -> bool:
    """Shown not to be better on the objective by as much as is worth detecting."""
    if comparison.exact is not None and definition.objective.gains_reward:
        return comparison.exact.short.p <= gain_level(definition)
    return comparison.superior_upper < gain_size(definition)


def _guardrail(effect: GuardrailEffect) -> Rule:
    """A guardrail on its own scale: a ratio, or a difference per request."""
    name, bound = effect.guardrail.metric, _bound(effect)
    if effect.harmed:
        return Rule(name, "fails", f"{name} {_worse(effect, effect.lower, 'at least')}; {bound}")
    if not effect.known:
        return Rule(name, "open", f"{name} against the control is not known yet; {bound}")
    if effect.upper == inf:
        return Rule(name, "open", f"{name} has no upper bound against the control's yet; {bound}")
    state: State = "holds" if effect.kept else "open"
    return Rule(name, state, f"{name} {_worse(effect, effect.upper, 'at most')}; {bound}")


def _worse(effect: GuardrailEffect, by: float, side: str) -> str:
    """How much worse than the control a candidate is, on the scale of its bound."""
    if effect.guardrail.max_ratio is not None:
        return f"is {side} {1 + relative(by):.3g} times the control's"
    if effect.guardrail.max_decrease is not None:
        return f"falls by {side} {by:.4g} against the control"
    return f"is {side} {by:+.4f} against the control"


def _bound(effect: GuardrailEffect) -> str:
    given = effect.guardrail
    return f"bound {given.bound if given.max_ratio is None else given.max_ratio:g}"


def _served(comparison: Comparison, volume: Volume) -> Rule:
    """A candidate that is mostly answered by its fallback looks "not worse"."""
    share = min(volume.served[0], volume.served[comparison.arm])
    known = f"{share:.1%} of units were served as assigned; {SMALLEST_SERVED:.0%} are needed"
    if share < SMALLEST_SERVED:
        return Rule("served", "fails", known)
    return _uncalled("served", comparison, volume) or Rule("served", "holds", known)


def _uncalled(name: str, comparison: Comparison, volume: Volume) -> Rule | None:
    """A rule about calls while an arm has none; where rewards come without calls it must not block for good.

    It is open only while an arm has no reward either, when rule `data` is open too: no decision rests on it.
    """
    arms = (0, comparison.arm)
    if all(volume.called[arm] for arm in arms):
        return None
    call = "no call of one of the two" if any(volume.called[arm] for arm in arms) else "no call"
    if min(volume.units[arm] for arm in arms) <= 0:
        return Rule(name, "open", f"{call} is known yet")
    return Rule(name, "holds", f"{call} was reported; nothing to compare")


def units_needed(definition: Experiment, one: Candidacy, volume: Volume) -> float:
    """Further units over all arms until the open rules settle, if the present estimates were the truth.

    Information grows in proportion to units. Without an estimate: what the planned difference needs.
    """
    comparison, alpha = one.comparison, level(definition)
    if definition.objective.needs_cost and not _costs_known(comparison, volume):
        return inf
    margin = Sequence(alpha, definition.objective.reward_margin)
    if not comparison.reward.known:
        spread = 0.25 * definition.reward.width**2
        planned = margin.information_needed(definition.objective.reward_margin) * 2 * spread
        return max(planned * len(definition.candidates) - volume.mature, FEWEST_RATIO_UNITS)
    reward = comparison.reward.estimate
    data = _growth_of_data(definition, comparison, volume)
    not_worse = _growth(margin, abs(reward.value + definition.objective.reward_margin), reward.information)
    if comparison.exact is not None and comparison.exact.not_worse.p <= alpha:
        not_worse = 1.0
    growth = max(
        not_worse,
        data,
        _growth_of_gain(definition, comparison, data),
        _growth_of_spending(comparison, alpha),
        *(_growth_of_guardrail(guard, alpha) for guard in comparison.guardrails if guard.known),
    )
    return volume.mature * max(growth - 1, 0.0)


def _growth_of_data(definition: Experiment, comparison: Comparison, volume: Volume) -> float:
    """How many times the present units the rarer outcomes need."""
    arms = (0, comparison.arm)
    units, rare = min(volume.units[arm] for arm in arms), min(volume.rarer[arm] for arm in arms)
    if comparison.exact is not None:
        return _fewest(definition) / units if units > 0 else inf
    if units <= 0 or rare <= 0:
        return inf
    return max(_fewest(definition) / units, RARE_OUTCOMES / rare)


def _growth_of_gain(definition: Experiment, comparison: Comparison, data: float) -> float:
    """The same for the nearer of a saving and a better objective; 1 where one of them is shown.

    While neither is estimated the answer is `data`: with enough units there will be an estimate.
    """
    decision, alpha = definition.decision, gain_level(definition)
    saving = log(1 - decision.min_saving)
    if comparison.cost_upper < saving or _superior(definition, comparison):
        return 1.0
    if definition.objective.needs_cost and not comparison.cost.known:
        return data
    scale = Sequence(alpha, log(1 + RELATIVE_MDE))
    costs = (comparison.cost.estimate, comparison.cost_per_request.estimate)
    by_saving = max(_growth(scale, abs(saving - cost.value), cost.information) for cost in costs)
    if definition.objective.kind == "cheapest_non_inferior":
        return by_saving
    better, scale = comparison.superior.estimate, Sequence(alpha, gain_size(definition))
    return min(by_saving, _growth(scale, abs(better.value), better.information))


def _growth_of_spending(comparison: Comparison, alpha: float) -> float:
    """The same for the budget, in proportion to the candidate's own units; 1 where there is none."""
    spent = comparison.spending
    if spent is None or spent.kept or spent.mean.information <= 0:
        return 1.0
    return _growth(Sequence(alpha, RELATIVE_SIZE), abs(1 - spent.mean.value), spent.mean.information)


def _growth_of_guardrail(guard: GuardrailEffect, alpha: float) -> float:
    """The same for a guardrail, by the information that its margin is worth: a tail has less than its middle."""
    if guard.kept:
        return 1.0
    worse, sequence = guard.worse, Sequence(alpha, guard.bound)
    distance, margin = abs(guard.bound - worse.value), guard.upper - worse.value
    if margin == inf:
        return max(_growth(sequence, distance, worse.information), UNBOUNDED_GROWTH)
    return _growth(sequence, distance, sequence.information_needed(margin))


def _growth(sequence: Sequence, distance: float, information: float) -> float:
    """How many times the present information a one-sided bound needs to clear this distance."""
    if information <= 0 or distance <= 0:
        return inf
    return sequence.information_needed(distance) / information
