"""Scenarios: true rates, costs and outcomes under which the decision rule is tried, and what is true in each."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, pi, sin
from typing import Literal

from scipy.stats import norm

from evaluation.calibration.outcomes import Nature
from experiments.definition.experiment import Experiment

PLAIN = Nature()
MARGIN = MDE = 0.05
NULL_EPOCHS = 28
LATE = 5

Kind = Literal["null", "power"]
Question = Literal["reward", "reward_per_cost", "net_value", "cost", "guardrail", "budget", "min_reward"]
RIVAL_QUESTIONS = ("reward", "reward_per_cost")
"""What the rivals have an opinion on."""


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
    """Value of the reward difference that the null hypothesis allows at most; rivals test against the same."""
    question: Question = "reward"
    """What a promotion would be wrong about, and whose interval is watched. Of a guardrail, "kept" would be wrong."""
    truth: float | None = None
    """True effect of every candidate on the question's scale; by default what `gaps` say of the reward."""
    variation: float = 0.5
    """Coefficient of variation of the lognormal costs."""
    nature: Nature = PLAIN
    late_arm: int | None = None
    """Arm whose successes are reported `LATE` epochs after its failures."""
    regression: float = 0.0
    """What every candidate's rate loses from half time on."""
    watching: bool = False
    """A holdback: the newest traffic is watched by itself."""
    fixed_units: int | None = None
    """Units of a fixed 50/50 test with 80% power, where durations are compared with it."""

    @property
    def arms(self) -> int:
        """Number of arms, the control among them."""
        return len(self.gaps)

    @property
    def alpha(self) -> float:
        """What is promised of all wrong calls together; a holdback has half of it for each of its two watches."""
        return self.definition.decision.alpha * (2 if self.watching else 1)

    @property
    def horizon(self) -> int:
        """Units after which a run ends undecided."""
        return self.units * len(self.levels)

    @property
    def has_rivals(self) -> bool:
        """Whether the rivals' rules speak to the question."""
        return self.question in RIVAL_QUESTIONS and not self.watching

    @property
    def has_interval(self) -> bool:
        """Whether there is a two-sided interval whose coverage can be counted; a regression has no one truth."""
        return self.question not in ("budget", "min_reward") and self.regression == 0

    def rate(self, arm: int, epoch: int) -> float:
        """True rate of an arm in an epoch, counted from 1."""
        lost = self.regression if arm and epoch > len(self.levels) // 2 else 0.0
        return self.levels[epoch - 1] + self.gaps[arm] - lost


def fixed_units(control: float, gap: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Units of both arms together that a two-sided fixed-horizon z test of a 50/50 split needs."""
    spread = control * (1 - control) + (control + gap) * (1 - control - gap)
    quantiles = norm.isf(alpha / 2) + norm.ppf(power)
    return 2 * ceil(spread * float(quantiles) ** 2 / gap**2)


def declared(arms: int = 2, margin: float = MARGIN, **fields: object) -> Experiment:
    """The experiment of a scenario; a window of ten minutes unless said otherwise."""
    objective = {"reward_margin": margin, **_mapping(fields.pop("objective", {}))}
    decision = {
        "mde": MDE, "max_units": 1_000_000, "min_days": 0, **_mapping(fields.pop("decision", {}))
    }  # fmt: skip
    return Experiment.model_validate(
        {
            "name": "calibration",
            "task": "simulated",
            "candidates": tuple(f"arm-{index}" for index in range(arms)),
            "objective": objective,
            "reward": {"window": fields.pop("window", "10m")},
            "decision": decision,
            **fields,
        }
    )


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} must be a mapping of declared fields")
    return value


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
    declares: Mapping[str, object] | None = None,
    **fields: object,
) -> Scenario:
    """Candidates worse by exactly the margin at a tenth of the cost: the bandit loves them, promotion is wrong."""
    return Scenario(
        name, title, "null", declared(arms, margin, **(declares or {})), levels,
        (0.0, *(-margin,) * (arms - 1)), (0.01, *(0.001,) * (arms - 1)), replications, units, -margin,
        **fields,  # type: ignore[arg-type]  # fields of Scenario by name
    )  # fmt: skip
