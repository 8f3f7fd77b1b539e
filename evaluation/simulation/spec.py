"""The specification of a simulation: an environment, one experiment as the configuration declares it, traffic, a seed.

The shapes here are those of `bandit.simulation.environments`, which holds the values against each other.
"""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from bandit.simulation.environments import Delay, Environment, Shape, ShapeKind, Users
from experiments.definition.declared import Declared, Finite
from experiments.definition.duration import DurationMs
from experiments.definition.experiment import Experiment
from experiments.definition.guardrail import FEEDBACK_RATE

DAY_MS = 86_400_000
MOST_REQUESTS = 2_000_000
"""Requests of one run: what a run keeps of each takes about 600 bytes."""
NAME = "simulated"
"""Name and task of an experiment that gives itself none."""
_DRAWN = ("error", "cost_usd", FEEDBACK_RATE)
"""Guardrail metrics that an environment brings about."""

Chance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
CostUsd = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Arm = Annotated[int, Field(ge=0, le=99)]
Arms = Annotated[tuple[Arm, ...], Field(min_length=1)]


class Listing(Declared):
    """Base of shapes that hold lists, which files write as lists and records keep as tuples."""

    @field_validator("*", mode="before")
    @classmethod
    def _sequences(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class ShapeSpec(Listing):
    """One movement over the trial."""

    kind: ShapeKind
    size: Finite
    """How far it moves, in reward chances, or relative to the cost."""
    start: Part = 0.0
    end: Part = 1.0
    cycles: Finite = 1.0
    arms: Arms | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.built()
        return self

    def built(self) -> Shape:
        """The shape of the environment; raises ValueError."""
        return Shape(self.kind, self.size, self.start, self.end, self.cycles, self.arms)


class DelaySpec(Listing):
    """How long feedback takes, in parts of the trial."""

    success: Part = 0.0
    failure: Part = 0.0
    arms: Arms | None = None

    def built(self) -> Delay:
        """The delay of the environment."""
        return Delay(self.success, self.failure, self.arms)


class UsersSpec(Declared):
    """Requests and tastes of sticky units."""

    requests_mean: Annotated[float, Field(ge=1, le=1_000, allow_inf_nan=False)] = 1.0
    rate_sd: Chance = 0.0


class EnvironmentSpec(Listing):
    """The simulated world; one entry per candidate in the lists, the control first."""

    rates: tuple[Chance, ...]
    """Chance that a request succeeds, by candidate."""
    costs_usd: tuple[CostUsd, ...] = ()
    cost_variation: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1.0
    feedback: tuple[Chance, ...] = ()
    shapes: tuple[ShapeSpec, ...] = Field(default=(), max_length=50)
    cost_shapes: tuple[ShapeSpec, ...] = Field(default=(), max_length=50)
    delays: tuple[DelaySpec, ...] = Field(default=(), max_length=50)
    users: UsersSpec = UsersSpec()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.built()
        return self

    def built(self) -> Environment:
        """The environment to draw from; raises ValueError."""
        return Environment(
            rates=self.rates,
            costs_usd=self.costs_usd,
            cost_variation=self.cost_variation,
            feedback=self.feedback,
            shapes=tuple(each.built() for each in self.shapes),
            cost_shapes=tuple(each.built() for each in self.cost_shapes),
            delays=tuple(each.built() for each in self.delays),
            users=Users(self.users.requests_mean, self.users.rate_sd),
        )


class Spec(Declared):
    """A whole specification file."""

    seed: Annotated[int, Field(ge=0, le=2**53)]
    """From which everything random follows."""
    requests_per_day: Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)]
    """Requests of the experiment's task in a day."""
    days: Annotated[float, Field(gt=0, le=400, allow_inf_nan=False)]
    """How long the traffic lasts, if no verdict ends it before."""
    look_every: DurationMs | None = None
    """Simulated time between two looks of the planner; by default as many requests as an epoch needs."""
    environment: EnvironmentSpec
    """The simulated world."""
    experiment: Experiment
    """The experiment, as a configuration declares it."""

    @field_validator("experiment", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:  # reason: raw input of any shape, validated by pydantic next
        """A simulated experiment may do without a name and a task."""
        return {"name": NAME, "task": NAME, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _together(self) -> Self:
        rates, candidates = len(self.environment.rates), len(self.experiment.candidates)
        if rates != candidates:
            raise ValueError(
                f"environment has {rates} rates and the experiment {candidates} candidates; give one rate for each"
            )
        if not 100 <= self.requests <= MOST_REQUESTS:
            raise ValueError(
                f"requests_per_day * days == {self.requests:,}, must be 100 to {MOST_REQUESTS:,} in one run"
            )
        if self.look_every is not None and self.look_every < 1_000:
            raise ValueError(f"look_every == {self.look_every}ms, must be at least 1s, as planners look")
        if self.experiment.mode == "shadow":
            raise ValueError(
                "experiment has mode shadow, which compares calls, and a simulation makes none; use another"
            )
        for guardrail in self.experiment.guardrails:
            if guardrail.metric not in _DRAWN:
                raise ValueError(
                    f"experiment has a guardrail on {guardrail.metric!r}, which no environment draws; "
                    f"remove it or use {', '.join(_DRAWN)}"
                )
        return self

    @property
    def requests(self) -> int:
        """Requests over the whole trial."""
        return round(self.requests_per_day * self.days)

    @property
    def length_ms(self) -> int:
        """Length of the trial."""
        return round(self.days * DAY_MS)
