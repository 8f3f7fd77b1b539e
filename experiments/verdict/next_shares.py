"""Next shares: the epoch that follows, and the split of traffic in it.

Mode `ab` keeps its shares; `learn` and `earn` follow everything that has arrived. Settings of the bandit, offline
evaluations and other experiments come in here and nowhere else: no test reads them.
"""

from bandit.allocation import Allocation, allocate
from bandit.budget import budget_shares
from bandit.cells import Cells
from bandit.learning import learn_shares
from bandit.objectives import Objective
from bandit.priors import Offline, Prior, offline_prior
from bandit.ramp import ramp_caps
from bandit.shares import Shares
from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch, may_close
from experiments.evidence.evidence import Evidence
from experiments.evidence.units import COST, PRIMARY, UNCAPPED
from experiments.verdict.standing import Standing, in_force

FOLLOWING = 0.98
"""What is left of evidence after 100 further requests where shares follow drift."""


def next_epoch(
    definition: Experiment,
    everything: Evidence,
    standing: Standing,
    gone: tuple[int, ...],
    at_once: bool,
    now_ms: int,
    renewed: bool = False,
) -> Epoch | None:
    """The next epoch if the open one may close: new prices or models and dropped candidates close it at once.

    `renewed` closes it whatever it holds.
    """
    if not everything.epochs or everything.epochs[-1].closed_at_ms is not None:
        return None
    current = everything.epochs[-1]
    series, models = in_force(everything, standing)
    renewed = renewed or (series, models) != (current.cost_series, current.model_series)
    units = int(everything.counts["assigned"][-1].sum())
    before = int(everything.counts["assigned"][:-1].sum())
    if not (at_once or renewed) and not may_close(current, everything.arms, units, before, True, now_ms):
        return None
    shares = next_shares(definition, everything, standing, gone, current.number + 1, now_ms)
    unchanged = shares == current.shares and not renewed
    if unchanged and not may_close(current, everything.arms, units, before, False, now_ms):
        return None
    return Epoch(
        current.experiment_id,
        current.number + 1,
        now_ms,
        shares,
        series,
        standing.price_version,
        None,
        models,
        standing.model_version,
    )


def next_shares(
    definition: Experiment,
    everything: Evidence,
    standing: Standing,
    gone: tuple[int, ...],
    number: int,
    now_ms: int,
) -> tuple[float, ...]:
    """Shares of epoch `number`; none for dropped arms.

    Given ones in modes ab and shadow, top-two sampling in mode learn, Thompson sampling in mode earn.
    """
    if definition.mode == "shadow":
        return definition.starting_shares
    if definition.mode == "ab":
        return _given(definition, gone, number)
    settings = Allocation(
        objective=_objective(definition),
        list_costs_usd=standing.list_costs_usd,
        dropped=gone,
        caps=_caps(definition, everything, now_ms),
        prior=_prior(definition, standing),
        forgetting=FOLLOWING if definition.bandit.drift == "follow" else 1.0,
        decided=standing.progress.declared is not None,
    )
    bills = everything.in_series(in_force(everything, standing)[0]).metric(COST)
    arrived = everything.arrived(definition, now_ms)
    return tuple(_split(definition, arrived, bills, settings, (standing.seed, number)).tolist())


def _split(
    definition: Experiment, arrived: Evidence, bills: Cells, settings: Allocation, seed: tuple[int, int]
) -> Shares:
    """The split of the mode and objective, from all that has arrived and the bills at the prices in force."""
    rewards = arrived.metric(PRIMARY)
    if definition.objective.kind == "budget":
        spent = arrived.metric(UNCAPPED if UNCAPPED in arrived.cells else COST)
        return budget_shares(rewards, settings, seed, bills, spent, definition.mode == "learn")
    how = learn_shares if definition.mode == "learn" else allocate
    return how(rewards, settings, seed, bills)


def _objective(definition: Experiment) -> Objective:
    declared, (low, high) = definition.objective, definition.reward.range
    return Objective(
        declared.kind,
        declared.reward_margin,
        declared.min_reward,
        low,
        high,
        declared.value_usd,
        declared.budget_usd,
    )


def _caps(definition: Experiment, everything: Evidence, now_ms: int) -> tuple[float, ...] | None:
    """The ramp: every candidate but the control is held back until enough of its units have matured with a reward."""
    steps = definition.bandit.ramp
    if not steps:
        return None
    matured = everything.mature(definition, now_ms).metric(PRIMARY).n.sum(axis=0)
    return ramp_caps(matured.tolist(), range(1, matured.size), steps)


def _prior(definition: Experiment, standing: Standing) -> Prior:
    """What is believed before any traffic: offline evaluations, and what other experiments found."""
    declared, reward = definition.bandit, definition.reward
    found = [
        Offline(arm, declared.priors[name].reward, declared.priors[name].prompts)
        for arm, name in enumerate(definition.candidates)
        if name in declared.priors
    ]
    prior = offline_prior(
        found, len(definition.candidates), reward.range[0], reward.width, declared.prior_weight
    )
    for arm, contrast in standing.pooled if declared.pool else ():
        prior = prior.with_contrast(
            arm, 0, contrast.value * reward.width, contrast.variance**0.5 * reward.width
        )
    return prior


def _given(definition: Experiment, gone: tuple[int, ...], number: int) -> tuple[float, ...]:
    """Declared shares, one step of the ramp an epoch, spread over the arms that remain."""
    shares = definition.starting_shares
    if definition.ramp is not None:
        control = definition.ramp[min(number, len(definition.ramp)) - 1]
        shares = (control, 1.0 - control)
    kept = [0.0 if arm in gone else share for arm, share in enumerate(shares)]
    if not gone:
        return shares
    return tuple(share / sum(kept) for share in kept)
