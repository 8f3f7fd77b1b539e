"""List prices, in US dollars per million tokens."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from experiments.definition.declared import Declared

Usd = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class PriceTier(Declared):
    """Prices of calls with a longer context, in US dollars per million tokens; they hold for the whole call."""

    above_input_tokens: Annotated[int, Field(gt=0, le=100_000_000)]
    """The tier applies to calls of more input tokens than this."""
    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None


class Price(Declared):
    """List price of one model in US dollars per million tokens."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    """Input tokens read from the provider's prompt cache; by default as `input`."""
    cache_write: Usd | None = None
    """Input tokens written to the provider's prompt cache; by default as `input`."""
    cache_write_1h: Usd | None = None
    """The same, to be kept for an hour; by default as `cache_write`."""
    reasoning: Usd | None = None
    """Output tokens spent on reasoning; by default as `output`."""
    batch_discount: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    """Share of the price that is let off for answers billed as batch or flex work."""
    tiers: Annotated[tuple[PriceTier, ...], Field(max_length=10)] = ()
    """Prices of calls with a longer context, the shortest first."""

    @field_validator("tiers", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _tiers_fit(self) -> "Price":
        bounds = [tier.above_input_tokens for tier in self.tiers]
        if any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(f"tiers must rise in above_input_tokens, not {bounds}; put the shortest first")
        for kind in ("cached_input", "cache_write", "cache_write_1h", "reasoning"):
            if any((getattr(tier, kind) is None) != (getattr(self, kind) is None) for tier in self.tiers):
                raise ValueError(
                    f"{kind} is priced in some tiers only; state it in all of them, the base included"
                )
        return self
