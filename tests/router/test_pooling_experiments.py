"""Pooling between running experiments, and starts and successors that know the bandit's settings."""

import numpy as np
import pytest

from experiments.definition.bandit import Bandit
from experiments.definition.experiment import Experiment
from experiments.definition.first_shares import first_shares
from router.deciding.choose import RouteRequest
from router.steering.listed import list_costs
from router.steering.pooling import Neighbours
from router.steering.successor import holdback
from tests.experiments.looks import Arm, Trial
from tests.experiments.looks import experiment as declared
from tests.router.worlds import World, document, experiment, model, world

POOLED = {"bandit": {"pool": True}, "objective": {"kind": "reward", "reward_margin": 0.05}}


def found(
    *arms: Arm, names: tuple[str, ...] = ("dear", "cheap"), **fields: object
) -> tuple[Experiment, object]:
    """A definition and a look at it."""
    trial = Trial(declared(*names, **fields)).epochs_of(4, *arms)
    return trial.definition, trial.look()


def test_an_experiment_that_asks_gets_what_others_found_of_the_same_pair() -> None:
    """In widths of the reward, with the sign of its own control."""
    neighbours, asking = Neighbours(), declared("cheap", "dear", bandit={"pool": True})
    neighbours.note(1, *found(Arm(500, 400), Arm(500, 350)))
    ((arm, lent),) = neighbours.lent_to(2, asking)
    assert arm == 1
    assert lent.value == pytest.approx(0.1), "dear minus cheap, where the other compared cheap with dear"
    assert neighbours.lent_to(2, declared("cheap", "dear")) == ()
    assert neighbours.lent_to(1, asking) == (), "nobody learns from itself twice"


def test_scales_of_rewards_are_compared_as_parts_of_their_range() -> None:
    """Stars from 0 to 4 in one task, a rate in the other, under the same name."""
    neighbours = Neighbours()
    stars = {"reward": {"kind": "score", "range": (0, 4)}, "objective": {"reward_margin": 0.1}}
    neighbours.note(1, *found(Arm(500, 1600, squares=5600), Arm(500, 1400, squares=4500), **stars))
    asking = declared(bandit={"pool": True}, reward={"kind": "score"})
    assert neighbours.lent_to(2, asking)[0][1].value == pytest.approx(-0.1)


def test_another_reward_or_other_models_are_no_evidence() -> None:
    """A difference in thumbs says nothing of a difference in resolved tickets."""
    neighbours = Neighbours()
    neighbours.note(1, *found(Arm(500, 400), Arm(500, 350)))
    for asking in (
        declared(bandit={"pool": True}, reward={"metric": "thumbs"}),
        declared("dear", "mini", bandit={"pool": True}),
    ):
        assert neighbours.lent_to(2, asking) == ()
    neighbours.forget({2})
    assert neighbours.lent_to(2, declared(bandit={"pool": True})) == (), "nor are experiments that ended"


def test_two_candidates_are_compared_through_their_control() -> None:
    """With the sum of both variances: too little weight rather than too much."""
    neighbours = Neighbours()
    definition, seen = found(Arm(500, 400), Arm(500, 350), Arm(500, 300), names=("dear", "cheap", "mini"))
    neighbours.note(1, definition, seen)
    ((_, lent),) = neighbours.lent_to(2, declared("cheap", "mini", bandit={"pool": True}))
    assert lent.value == pytest.approx(-0.1)
    one, other = (1 / each.reward.estimate.information for each in seen.comparisons)
    assert lent.variance > one + other


def serve(made: World, task: str, units: int, rates: dict[str, float]) -> None:
    """Route, answer, tick."""
    random = np.random.default_rng(1)
    for number in range(units):
        made.clock.forward(20)
        decision = made.engine.route(RouteRequest(task=task))
        made.give(decision.id, value=float(random.random() < rates[decision.model]), cost_usd=1e-3)
        if number % 50 == 49:
            made.tick()
    made.clock.forward(4_000)
    made.tick()


@pytest.mark.parametrize("pool", [True, False])
def test_a_planner_lends_from_task_to_task(pool: bool) -> None:
    """A clear winner in one task gives it a start in the next one; without `pool` the next one starts even."""
    plain = {"objective": POOLED["objective"]}
    configured = document(
        tasks={"one": {}, "two": {}},
        experiments={
            "first": experiment(task="one", **plain),
            "second": experiment(task="two", **(POOLED if pool else plain)),
        },
    )
    made = world(configured)
    try:
        serve(made, "one", 1_000, {"dear": 0.5, "cheap": 0.95})
        serve(made, "two", 110, {"dear": 0.7, "cheap": 0.7})
        row = made.control.experiment("second")
        share = made.store.epochs(row.id)[-1].shares[1]
        assert share > 0.5 if pool else share < 0.2, "the first hundred outcomes happened to favour the other"
    finally:
        made.close()


def test_a_start_under_a_budget_follows_the_price_list() -> None:
    """Epoch 1 costs what was budgeted; epoch 0, for decisions without a snapshot, keeps the configured split."""
    configured = document(
        models={"dear": model(10.0, 20.0), "cheap": model(1.0, 2.0), "spare": model()},
        experiments={
            "cheaper": experiment(objective={"kind": "budget", "budget_usd": 0.003, "reward_margin": 0.5})
        },
    )
    made = world(configured)
    try:
        row = made.control.experiment("cheaper")
        opened = {epoch.number: epoch.shares for epoch in made.store.epochs(row.id)}
        costs = list_costs(row.definition, configured)
        assert opened[0] == (0.5, 0.5)
        assert opened[1] == first_shares(row.definition, costs)
        assert sum(share * cost for share, cost in zip(opened[1], costs, strict=True)) < 0.003
        assert 0 < opened[1][0] < 0.3
    finally:
        made.close()


def test_a_holdback_has_given_shares_and_no_bandit() -> None:
    """Its definition is stored and read again: bandit settings in mode ab would be refused."""
    made = world(document(experiments={"cheaper": experiment(bandit={"ramp": [0.05], "drift": "follow"})}))
    try:
        row = made.control.experiment("cheaper")
        successor = holdback(row, "dear", "cheap", 1)
        assert successor is not None
        assert successor.definition.bandit == Bandit()
        assert (
            Experiment.model_validate_json(successor.definition.model_dump_json(by_alias=True))
            == successor.definition
        )
    finally:
        made.close()
