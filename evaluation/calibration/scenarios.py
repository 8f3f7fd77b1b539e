"""Scenarios: true rates, costs and feedback under which the decision rule is tried, and what is null in each."""

from dataclasses import dataclass
from math import ceil, pi, sin
from typing import Literal

from scipy.stats import norm

from experiments.definition.experiment import Experiment

MARGIN = MDE = 0.05
NULL_EPOCHS = 28

Kind = Literal["null", "power"]
Question = Literal["reward", "reward_per_cost"]


@dataclass(frozen=True)
class Scenario:
    """One simulated world; arm 0 is the control. Data only, so that it travels between processes."""

    name: str
    title: str
    kind: Kind
    definition: Experiment
    levels: tuple[float, ...]
    """The control's true rate in each epoch."""
    gaps: tuple[float, ...]
    """True rate of each arm minus the control's."""
    costs_usd: tuple[float, ...]
    replications: int
    units: int = 200
    """Units per epoch; a look follows each."""
    boundary: float = 0.0
    """Value of the effect that the null hypothesis allows at most; rivals test against the same."""
    question: Question = "reward"
    variation: float = 0.5
    """Coefficient of variation of the lognormal costs."""
    feedback: tuple[float, ...] = ()
    """Chance of each arm that a unit's reward is ever reported; 1 where nothing is said."""
    late_arm: int | None = None
    """Arm whose successes are reported `LATE` epochs after its failures."""
    error_rate: float = 0.005
    fixed_units: int | None = None
    """Units of a fixed 50/50 test with 80% power, where durations are compared with it."""

    @property
    def arms(self) -> int:
        """Number of arms, the control among them."""
        return len(self.gaps)

    @property
    def horizon(self) -> int:
        """Units after which a run ends undecided."""
        return self.units * len(self.levels)


LATE = 5


def fixed_units(control: float, gap: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Units of both arms together that a two-sided fixed-horizon z test of a 50/50 split needs."""
    spread = control * (1 - control) + (control + gap) * (1 - control - gap)
    quantiles = norm.isf(alpha / 2) + norm.ppf(power)
    return 2 * ceil(spread * float(quantiles) ** 2 / gap**2)


def declared(arms: int = 2, margin: float = MARGIN, **fields: object) -> Experiment:
    """The experiment of a scenario; a window of ten minutes unless said otherwise."""
    objective = {"reward_margin": margin, **fields.pop("objective", {})}  # type: ignore[dict-item]  # mappings
    return Experiment.model_validate(
        {
            "name": "calibration",
            "task": "simulated",
            "candidates": tuple(f"arm-{index}" for index in range(arms)),
            "objective": objective,
            "reward": {"window": fields.pop("window", "10m")},
            "decision": {"mde": MDE, "max_units": 1_000_000, "min_days": 0},
            **fields,
        }
    )


def flat(level: float, epochs: int = NULL_EPOCHS) -> tuple[float, ...]:
    """The same rate in every epoch."""
    return (level,) * epochs


def wave(level: float, size: float, epochs: int = NULL_EPOCHS) -> tuple[float, ...]:
    """A rate that goes round three times."""
    return tuple(level + size * sin(6 * pi * epoch / epochs) for epoch in range(epochs))


def rise(low: float, high: float, epochs: int = NULL_EPOCHS) -> tuple[float, ...]:
    """A rate that climbs steadily."""
    return tuple(low + (high - low) * epoch / (epochs - 1) for epoch in range(epochs))


def jump(before: float, after: float, epochs: int = NULL_EPOCHS) -> tuple[float, ...]:
    """A rate that changes once, half way."""
    return (before,) * (epochs // 2) + (after,) * (epochs - epochs // 2)


def at_margin(
    name: str,
    title: str,
    levels: tuple[float, ...],
    replications: int,
    margin: float = MARGIN,
    arms: int = 2,
    units: int = 200,
    **fields: object,
) -> Scenario:
    """Candidates worse by exactly the margin at a tenth of the cost: the bandit loves them, promotion is wrong."""
    return Scenario(
        name, title, "null", declared(arms, margin), levels,
        (0.0, *(-margin,) * (arms - 1)), (0.01, *(0.001,) * (arms - 1)), replications, units, -margin,
        **fields,  # type: ignore[arg-type]  # fields of Scenario by name
    )  # fmt: skip


def nulls(replications: int) -> tuple[Scenario, ...]:
    """Worlds in which every promotion is wrong."""
    return (
        Scenario(
            "equal", "equal reward, equal cost", "null", declared(), flat(0.6), (0.0, 0.0), (0.01, 0.01), replications
        ),
        at_margin("boundary", "at the margin, a tenth of the cost", flat(0.8), replications),
        at_margin("sine", "the same under a common sine", wave(0.6, 0.15), replications),
        at_margin("ramp", "the same under a common ramp", rise(0.35, 0.95), replications),
        at_margin("step", "the same under a common step", jump(0.45, 0.75), replications),
        at_margin("rare", "at the margin of .01, rate .02", flat(0.02), replications, 0.01, units=600),
        at_margin("frequent", "at the margin of .01, rate .98", flat(0.98), replications, 0.01, units=600),
        at_margin(
            "feedback", "at the margin, feedback .9 and .3 by arm", flat(0.8), replications,
            feedback=(0.9, 0.3), error_rate=0.0,
        ),
        late(replications),
        per_cost(replications),
        at_margin("four", "four arms, all candidates at the margin", flat(0.8), replications, arms=4),
        at_margin("ten", "ten arms, all candidates at the margin", flat(0.8), replications, arms=10, units=400),
    )  # fmt: skip


def late(replications: int, epochs: int = NULL_EPOCHS) -> Scenario:
    """The control's successes come five epochs after its failures: on arrived cells it looks bad."""
    return Scenario(
        "late", "at the margin, the control's successes five epochs late", "null", declared(window="5h"),
        flat(0.8, epochs), (0.0, -MARGIN), (0.01, 0.001), replications, boundary=-MARGIN, late_arm=0,
        error_rate=0.0,
    )  # fmt: skip


def per_cost(replications: int) -> Scenario:
    """More reward for as much more money: well above the margin and not cheaper, so only "better" could promote."""
    return Scenario(
        "ratio", "equal reward per cost, lognormal cost", "null", declared(), flat(0.6), (0.0, 0.06),
        (0.01, 0.011), replications, question="reward_per_cost", variation=1.0,
    )  # fmt: skip


def powers(replications: int) -> tuple[Scenario, ...]:
    """Worlds in which something is to be found."""
    planned = fixed_units(0.6, MDE)
    better = declared(mode="ab", objective={"kind": "reward"})
    looks = ceil(4 * planned / 100)
    return (
        Scenario("saving", "equal reward at half the cost", "power", declared(), flat(0.8, 60), (0.0, 0.0),
                 (0.01, 0.005), replications, boundary=-MARGIN),
        Scenario("mde", "reward + mde, 50/50", "power", better, flat(0.6, looks), (0.0, MDE), (0.01, 0.01),
                 replications, units=100, fixed_units=planned),
        Scenario("twice", "reward + 2 mde, 50/50", "power", better, flat(0.6, looks), (0.0, 2 * MDE),
                 (0.01, 0.01), replications, units=100, fixed_units=planned),
        Scenario("harm", "reward - 2 margins at a tenth of the cost", "power", declared(), flat(0.8, 60),
                 (0.0, -2 * MARGIN), (0.01, 0.001), replications, boundary=-MARGIN),
    )  # fmt: skip
