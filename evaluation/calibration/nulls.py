"""Nulls: worlds in which every promotion is wrong, and candidates that are just good enough to stay."""

from math import log

from evaluation.calibration.outcomes import THUMBS, Nature
from evaluation.calibration.scenarios import (
    MARGIN,
    NULL_EPOCHS,
    Kind,
    Question,
    Scenario,
    at_margin,
    declared,
    flat,
    jump,
    rise,
    wave,
)
from experiments.definition.experiment import Experiment
from router.steering.drafts import new_experiment
from router.steering.successor import holdback

RATIO = 1.25
"""Bound of guardrails on ratios."""


def nulls(replications: int, further: int) -> tuple[Scenario, ...]:
    """All of them: `replications` of each world of rewards, `further` of each other setting."""
    return (
        *_of_rewards(replications), *_of_arms(further), *_of_settings(further), *_of_objectives(further),
        *_of_units(further), *_of_guardrails(further),
    )  # fmt: skip


def _of_rewards(replications: int) -> tuple[Scenario, ...]:
    """Levels, trends, feedback and delays."""
    return (
        Scenario("equal", "equal reward, equal cost", "null", declared(), flat(0.6), (0.0, 0.0), (0.01, 0.01),
                 replications),
        at_margin("boundary", "at the margin, a tenth of the cost", flat(0.8), replications),
        at_margin("sine", "the same under a common sine", wave(0.6, 0.15), replications),
        at_margin("ramp", "the same under a common ramp", rise(0.35, 0.95), replications),
        at_margin("step", "the same under a common step", jump(0.45, 0.75), replications),
        at_margin("rare", "at the margin of .01, rate .02", flat(0.02), replications, 0.01, units=600),
        at_margin("tenth", "at the margin of .03, rate .10", flat(0.10), replications, 0.03),
        at_margin("half", "at the margin, rate .50", flat(0.50), replications),
        at_margin("frequent", "at the margin of .01, rate .98", flat(0.98), replications, 0.01, units=600),
        at_margin("feedback", "at the margin, feedback .9 and .3 by arm", flat(0.8), replications,
                  nature=Nature(feedback=(0.9, 0.3))),
        late(replications),
        per_cost(replications),
    )  # fmt: skip


def _of_arms(replications: int) -> tuple[Scenario, ...]:
    """Several candidates, which share alpha."""
    return (
        at_margin("four", "four arms, all candidates at the margin", flat(0.8), replications, arms=4),
        at_margin("ten", "ten arms, all candidates at the margin", flat(0.8), replications, arms=10, units=400),
    )  # fmt: skip


def _of_settings(replications: int) -> tuple[Scenario, ...]:
    """Modes, read-outs and settings of the bandit."""
    strict = {"decision": {"read_out": "strict"}}
    eager = {
        "drift": "follow", "priors": {"arm-1": {"reward": 0.95, "prompts": 500}}, "prior_weight": 0.1
    }  # fmt: skip
    return (
        at_margin("strict", "read-out strict, at the margin", flat(0.8), replications, declares=strict),
        at_margin("strict_rare", "read-out strict, at the margin of .01, rate .02", flat(0.02), replications,
                  0.01, units=600, declares=strict),
        at_margin("ab", "mode ab, four arms at the margin", flat(0.8), replications, arms=4,
                  declares={"mode": "ab"}),
        at_margin("learn", "mode learn, four arms at the margin", flat(0.8), replications, arms=4,
                  declares={"mode": "learn"}),
        at_margin("eager", "at the margin, priors for the candidate, drift followed", wave(0.6, 0.15),
                  replications, declares={"bandit": eager}),
        watched("holdback", "a holdback whose champion is as good", "null", replications),
    )  # fmt: skip


def _of_objectives(replications: int) -> tuple[Scenario, ...]:
    """Each objective where nothing is gained, or where one bound of promotion is just missed."""

    def one(
        name: str, title: str, objective: dict[str, object], gap: float, costs_usd: tuple[float, float],
        question: Question, truth: float | None = 0.0, units: int = 200,
    ) -> Scenario:  # fmt: skip
        return Scenario(
            name, title, "null", declared(objective=objective), flat(0.6), (0.0, gap), costs_usd, replications,
            units, gap, question, truth,
        )  # fmt: skip

    return (
        one("net_value", "equal net value: reward +.06 for its worth in money",
            {"kind": "net_value", "value_usd": 0.1}, 0.06, (0.01, 0.016), "net_value"),
        one("budget", "reward +.15, costs exactly the budget", {"kind": "budget", "budget_usd": 0.01}, 0.15,
            (0.005, 0.01), "budget", None),
        one("within_budget", "objective budget, equal reward, equal cost",
            {"kind": "budget", "budget_usd": 0.02}, 0.0, (0.01, 0.01), "reward"),
        one("saving_bound", "equal reward, cheaper by exactly min_saving", {"kind": "cheapest_non_inferior"}, 0.0,
            (0.01, 0.009), "cost", log(0.9)),
        one("both_gains", "equal reward, cheaper by exactly min_saving, either would count", {"kind": "reward"}, 0.0,
            (0.01, 0.009), "reward", units=600),
        one("min_reward", "cheaper and better, exactly at min_reward",
            {"kind": "reward_per_cost", "min_reward": 0.7}, 0.1, (0.01, 0.005), "min_reward", None),
    )  # fmt: skip


def _of_units(replications: int) -> tuple[Scenario, ...]:
    """What units are: users, units with a covariate, units whose cost stays unknown."""
    return (
        at_margin("users", "at the margin, sticky users of six requests", flat(0.6), replications,
                  declares={"unit": "user"}, nature=Nature(requests_mean=6.0, taste_sd=0.12)),
        at_margin("covariate", "at the margin, adjusted for a covariate", flat(0.6), replications,
                  declares={"decision": {"adjust": "covariate"}}, nature=Nature(covariate=0.3)),
        at_margin("uncosted", "at the margin, costs of the candidate's failures often unknown", flat(0.8),
                  replications, nature=Nature(uncosted=((0.04, 0.0), (0.0, 0.15)))),
    )  # fmt: skip


def _of_guardrails(replications: int) -> tuple[Scenario, ...]:
    """Candidates exactly at the bound of a guardrail, as good and a tenth of the cost: "kept" would be wrong."""

    def one(
        name: str, title: str, rule: dict[str, object], truth: float, nature: Nature,
        costs_usd: tuple[float, float] = (0.01, 0.001),
    ) -> Scenario:  # fmt: skip
        return Scenario(
            f"guard_{name}", title, "null", declared(guardrails=[{"metric": name, **rule}]), wave(0.6, 0.15),
            (0.0, 0.0), costs_usd, replications, 400, question="guardrail", truth=truth, nature=nature,
        )  # fmt: skip

    return (
        one("error", "guardrail error at its bound", {"max_increase": 0.02}, 0.02,
            Nature(error_rates=(0.02, 0.04))),
        one("cost_usd", "guardrail cost_usd at its bound", {"max_ratio": RATIO}, log(RATIO), Nature(),
            (0.01, 0.01 * RATIO)),
        one("latency_p95_ms", "guardrail latency_p95_ms at its bound", {"max_ratio": RATIO}, log(RATIO),
            Nature(latency_ms=(1_000.0, 1_000.0 * RATIO))),
        one("feedback_rate", "guardrail feedback_rate at its bound", {"max_decrease": 0.05}, -0.05,
            Nature(feedback=(0.9, 0.85))),
        one(THUMBS, "guardrail on a reported metric at its bound", {"max_decrease": 0.05, "range": [0.0, 1.0]},
            -0.05, Nature(thumbs=(0.8, 0.75))),
    )  # fmt: skip


def late(replications: int, epochs: int = NULL_EPOCHS) -> Scenario:
    """The control's successes come five epochs after its failures: on arrived cells it looks bad."""
    return Scenario(
        "late", "at the margin, the control's successes five epochs late", "null", declared(window="5h"),
        flat(0.8, epochs), (0.0, -MARGIN), (0.01, 0.001), replications, boundary=-MARGIN, late_arm=0,
    )  # fmt: skip


def per_cost(replications: int) -> Scenario:
    """More reward for as much more money: well above the margin and not cheaper, so only "better" could promote."""
    return Scenario(
        "ratio", "equal reward per cost, lognormal cost", "null", declared(), flat(0.6), (0.0, 0.06),
        (0.01, 0.011), replications, question="reward_per_cost", truth=0.0, variation=1.0,
    )  # fmt: skip


def watched(
    name: str, title: str, kind: Kind, replications: int, regression: float = 0.0, epochs: int = 40
) -> Scenario:
    """The holdback that follows a promotion, as the router declares it; it has traffic for its planned units."""
    units = 600
    return Scenario(
        name, title, kind, _successor(units * epochs), flat(0.8, epochs), (0.0, 0.0),
        (0.01, 0.005), replications, units, -MARGIN, regression=regression, watching=True,
    )  # fmt: skip


def _successor(max_units: int) -> Experiment:
    parent = new_experiment(declared(decision={"max_units": max_units}), now_ms=0)
    old, new = parent.definition.candidates
    successor = holdback(parent, old, new, now_ms=0)
    if successor is None:
        raise ValueError("decision.holdback == 0, must be above 0 for a holdback to follow a promotion")
    return successor.definition
