"""Bandit settings: how the shares learn. They move traffic only; no test reads any of them."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from experiments.definition.declared import Declared, Finite
from experiments.definition.names import Name

Part = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class OfflineReward(Declared):
    """What a model reached in an evaluation before the experiment."""

    reward: Finite
    """Its mean reward, in the units of the experiment's reward."""
    prompts: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """Number of prompts that it is the mean of."""


class Bandit(Declared):
    """How the shares learn, in modes `learn` and `earn`."""

    drift: Literal["ignore", "follow"] = "ignore"
    """`follow` lets evidence fade by a fiftieth per 100 requests, so that shares follow candidates that change."""
    ramp: tuple[Part, ...] = Field(default=(), max_length=10)
    """Most that each candidate may get at first: one step after another, each until 50 more of its units matured."""
    priors: dict[Name, OfflineReward] = Field(default={}, max_length=20)
    """Offline evaluations by candidate."""
    prior_weight: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.2
    """What a prompt of an offline evaluation counts beside a request of traffic; at most 50 requests in all."""
    pool: bool = False
    """Whether running experiments with the same models and reward lend their differences as a prior."""

    @field_validator("ramp", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if any(later <= earlier for earlier, later in zip(self.ramp, self.ramp[1:], strict=False)):
            raise ValueError(
                f"ramp {list(self.ramp)} must rise: each step lets through more than the one before"
            )
        return self
