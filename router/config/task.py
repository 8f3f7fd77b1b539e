"""A task: which requests are its own, and how they are served."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from experiments.definition.declared import Declared
from experiments.definition.names import Name
from router.config.availability import Budget, FallbacksOn, Hedge, Retries, Seconds, Timeouts

MAX_COST_USD = 1e6
"""Largest ceiling of one request that a task or a caller may name."""
Waiting = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class Match(Declared):
    """Rules that send a request without an explicit task here."""

    metadata: dict[Name, Annotated[str, StringConstraints(max_length=200)]] = Field(default_factory=dict)
    """Request metadata that must be equal, all of them."""
    keywords: tuple[Keyword, ...] = ()
    """Words or phrases, any of which the newest user message contains (whole words, any case)."""

    @field_validator("keywords", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _not_empty(self) -> "Match":
        if not self.metadata and not self.keywords:
            raise ValueError("match needs metadata or keywords; leave it out to match explicit tags only")
        return self


class Queue(Declared):
    """How batch requests wait for room at a limit of their model, instead of moving on."""

    wait_s: Waiting = 300.0
    """Longest wait; `timeout_s` counts from its end."""
    longest: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Requests that may wait for one model, of each worker."""


class Task(Declared):
    """Settings of one task; what is left out is taken from the nearest parent."""

    default: Name | None = None
    """Champion at the start; the store owns it afterwards."""
    fallbacks: tuple[Name, ...] | None = None
    """Models tried in this order when the decided one gives no answer."""
    timeout_s: Seconds | None = None
    """Total time for all attempts of one request."""
    retries: Retries | None = None
    """Further attempts at a model that failed, before the next one is tried."""
    timeouts: Timeouts | None = None
    """Longest waits for any model."""
    fallbacks_on: FallbacksOn | None = None
    """Models tried instead of `fallbacks`, by what went wrong."""
    budget: Budget | None = None
    """Money that the task may spend."""
    max_cost_usd: Annotated[float, Field(gt=0, le=MAX_COST_USD, allow_inf_nan=False)] | None = None
    """Most that one request may cost by the price list; a caller's smaller `max_cost` goes before it."""
    hedge: Hedge | None = None
    """When a slow attempt gets a second one beside it; by default never."""
    queue: Queue | None = None
    """How batch requests wait at a limit; without it they move on as all others do."""
    match: Match | None = None

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_total(self) -> "Task":
        if self.timeout_s is not None and self.timeouts is not None and self.timeouts.total_s is not None:
            raise ValueError("timeouts.total_s is the same as timeout_s; state one of them")
        return self

    @property
    def total_s(self) -> float | None:
        """Total time for all attempts, whichever way it is stated."""
        return (
            self.timeouts.total_s if self.timeout_s is None and self.timeouts is not None else self.timeout_s
        )
