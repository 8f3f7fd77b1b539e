"""Powers: worlds in which something is to be found, and how long it takes."""

from math import ceil, log

from evaluation.calibration.nulls import RATIO, watched
from evaluation.calibration.outcomes import THUMBS, Nature
from evaluation.calibration.scenarios import MARGIN, MDE, Scenario, declared, fixed_units, flat

GUARDRAILS = (
    {"metric": "error", "max_increase": 0.02},
    {"metric": "latency_p95_ms", "max_ratio": RATIO},
    {"metric": "feedback_rate", "max_decrease": 0.05},
    {"metric": THUMBS, "max_decrease": 0.05, "range": [0.0, 1.0]},
)
HEALTHY = Nature(
    error_rates=(0.02, 0.02), latency_ms=(1_000.0, 1_000.0), feedback=(0.9, 0.9), thumbs=(0.8, 0.8)
)


def powers(replications: int) -> tuple[Scenario, ...]:
    """Savings, gains, harm, and a regression after a promotion."""
    planned = fixed_units(0.6, MDE)
    better = declared(mode="ab", objective={"kind": "reward"})
    looks = ceil(4 * planned / 100)
    return (
        Scenario("saving", "equal reward at half the cost", "power", declared(), flat(0.8, 60), (0.0, 0.0),
                 (0.01, 0.005), replications, boundary=-MARGIN),
        Scenario("guarded", "the same with four guardrails", "power", declared(guardrails=GUARDRAILS),
                 flat(0.8, 60), (0.0, 0.0), (0.01, 0.005), replications, 400, -MARGIN, nature=HEALTHY),
        Scenario("strict_saving", "equal reward of .98 at half the cost, read-out strict", "power",
                 declared(decision={"read_out": "strict"}), flat(0.98, 60), (0.0, 0.0), (0.01, 0.005),
                 replications, boundary=-MARGIN),
        Scenario("mde", "reward + mde, 50/50", "power", better, flat(0.6, looks), (0.0, MDE), (0.01, 0.01),
                 replications, units=100, fixed_units=planned),
        Scenario("twice", "reward + 2 mde, 50/50", "power", better, flat(0.6, looks), (0.0, 2 * MDE),
                 (0.01, 0.01), replications, units=100, fixed_units=planned),
        Scenario("harm", "reward - 2 margins at a tenth of the cost", "power", declared(), flat(0.8, 60),
                 (0.0, -2 * MARGIN), (0.01, 0.001), replications, boundary=-MARGIN),
        Scenario("broken", "errors two bounds above the guardrail's", "power",
                 declared(guardrails=[{"metric": "error", "max_increase": 0.02}]), flat(0.8, 60), (0.0, 0.0),
                 (0.01, 0.001), replications, question="guardrail", truth=0.06,
                 nature=Nature(error_rates=(0.02, 0.08))),
        Scenario("cheap_ratio", "twice the reward per cost", "power", declared(), flat(0.6, 60), (0.0, 0.0),
                 (0.01, 0.005), replications, question="reward_per_cost", truth=log(2), variation=1.0),
        watched("regression", "a holdback whose champion loses 3 margins half way", "power", replications,
                3 * MARGIN, 60),
    )  # fmt: skip


HARMED = ("harm", "broken", "regression")
"""Scenarios whose candidate must be dropped."""
