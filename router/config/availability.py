"""What keeps models available, as the configuration states it: deployments, waits, quotas and budgets.

Numbers only; what they do is in `router.availability`, and in docs/availability.md.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from experiments.definition.declared import Declared
from experiments.definition.names import Name

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Dollars = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Retries = Annotated[int, Field(ge=0, le=5)]
Balance = Literal["weighted", "round_robin", "least_busy", "lowest_latency", "cheapest"]
Cause = Literal["context_overflow", "refusal", "rate_limited", "timeout", "error"]
Usual = Literal["p90", "p95", "p99"]
MOST_HEDGED = 0.2
"""Largest share of hedged requests: beyond it a slow upstream would get the load that makes it slower."""


class Timeouts(Declared):
    """Longest waits for an upstream. Where a task and a model both state one, the shorter holds."""

    connect_s: Seconds | None = None
    """Until a connection stands: name look-up, TCP and TLS; 2 by default."""
    first_token_s: Seconds | None = None
    """Until the first piece of a stream, 60 by default; whole answers have none."""
    idle_s: Seconds | None = None
    """Between two pieces of a stream, 30 by default."""
    total_s: Seconds | None = None
    """Of a model: one attempt. Of a task: all attempts of a request, as `timeout_s`."""


class Limits(Declared):
    """Most that all workers of a ledger together send to a model, or to one deployment of it."""

    rpm: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    """Attempts per minute."""
    tpm: Annotated[int, Field(gt=0, le=10_000_000_000)] | None = None
    """Tokens per minute, input and output."""
    tokens_per_day: Annotated[int, Field(gt=0, le=100_000_000_000_000)] | None = None
    """Tokens per day (UTC)."""
    usd_per_day: Dollars | None = None
    """US dollars per day (UTC)."""
    reserve: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    """Part of each of these that batch requests leave to the others."""

    @model_validator(mode="after")
    def _not_empty(self) -> "Limits":
        if all(value is None for value in (self.rpm, self.tpm, self.tokens_per_day, self.usd_per_day)):
            raise ValueError(
                "limits needs rpm, tpm, tokens_per_day or usd_per_day; leave it out to have none"
            )
        return self


class Budget(Declared):
    """Money that a task may spend."""

    usd_per_day: Dollars
    """US dollars per day (UTC), of all workers of a ledger together."""
    pacing: bool = True
    """Whether the money is spread over the day: by noon half of it and an hour's worth more may be spent."""
    then: Literal["cheapest", "refuse"] = "cheapest"
    """At the end of the money: the cheapest model of the task serves, or requests are refused with 429."""


class Hedge(Declared):
    """When a slow attempt gets a second one beside it; whichever answers first is the answer."""

    after_s: Seconds | None = None
    """Without an answer, or the first piece of a stream, for so long; with `after`, until enough is known for that."""
    after: Usual | None = None
    """Later than 90, 95 or 99 % of the deployment's recent answers came."""
    to: Literal["deployment", "fallback"] = "deployment"
    """Where the second attempt goes: to another deployment of the same model, or to the next fallback."""
    share: Annotated[float, Field(gt=0, le=MOST_HEDGED, allow_inf_nan=False)] = 0.05
    """Part of the task's requests that may be hedged at most."""

    @model_validator(mode="after")
    def _timed(self) -> "Hedge":
        if self.after_s is None and self.after is None:
            raise ValueError("hedge needs after_s or after; leave it out to have none")
        return self


class Cooldown(Declared):
    """When an upstream that fails is left alone, and for how long."""

    failures: Annotated[int, Field(ge=1, le=1_000)] = 5
    """Failures in a row after which it is left alone; half of at least 20 attempts within a minute do as well."""
    first_s: Seconds = 5.0
    """First pause; each further one is twice as long, until an attempt succeeds."""
    longest_s: Seconds = 300.0
    """Longest pause."""

    @model_validator(mode="after")
    def _rising(self) -> "Cooldown":
        if self.longest_s < self.first_s:
            raise ValueError(f"longest_s == {self.longest_s:g}, must be at least first_s == {self.first_s:g}")
        return self


class FallbacksOn(Declared):
    """Models tried instead of `fallbacks`, by what went wrong."""

    context_overflow: tuple[Name, ...] | None = None
    """The prompt is longer than the model takes."""
    refusal: tuple[Name, ...] | None = None
    """The model, or its provider's filter, refused to answer; without models here the refusal is the answer."""
    rate_limited: tuple[Name, ...] | None = None
    """Status 429, or a quota of `limits`."""
    timeout: tuple[Name, ...] | None = None
    """No answer in time."""
    error: tuple[Name, ...] | None = None
    """Any other failure that another model may mend."""

    @field_validator("*", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    def models_of(self, cause: Cause) -> tuple[str, ...] | None:
        """The models for a cause; None where the usual fallbacks are tried."""
        found: tuple[str, ...] | None = getattr(self, cause)
        return found
