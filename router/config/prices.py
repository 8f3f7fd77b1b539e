"""Prices: what a model's tokens cost in US dollars, from the configuration or the bundled list."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from router.config.model import Model
from router.config.price import Price, PriceTier

CHEAP_SERVICES = ("batch", "flex")
"""Service tiers that answers name when they were billed at the batch discount."""
_BUNDLED_SERVICES = ("flex", "priority")


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens of each kind, for calls of more input tokens than a bound; None is unknown."""

    input: float | None
    output: float | None
    cached_input: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    reasoning: float | None = None
    above_input_tokens: int = 0

    def whole(self) -> "Rates":
        """The same with what a provider does not price apart: cache tokens as input, reasoning as output."""
        written = self.input if self.cache_write is None else self.cache_write
        return replace(
            self,
            cached_input=self.input if self.cached_input is None else self.cached_input,
            cache_write=written,
            cache_write_1h=written if self.cache_write_1h is None else self.cache_write_1h,
            reasoning=self.output if self.reasoning is None else self.reasoning,
        )

    def times(self, factor: float) -> "Rates":
        """All rates times a factor."""
        scaled = {name: value * factor for name, value in self._priced() if value is not None}
        return replace(self, **scaled)  # type: ignore[arg-type]  # reason: the names are those of the rates

    def _priced(self) -> tuple[tuple[str, float | None], ...]:
        return (
            ("input", self.input), ("output", self.output), ("cached_input", self.cached_input),
            ("cache_write", self.cache_write), ("cache_write_1h", self.cache_write_1h), ("reasoning", self.reasoning),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListPrice:
    """Price of one model; `version` changes when any of its numbers does."""

    steps: tuple[Rates, ...]
    """By input tokens, the lowest bound first; the highest bound that a call exceeds prices all of it."""
    version: str
    services: Mapping[str, tuple[Rates, ...]] = field(default_factory=dict)
    """Steps of answers that name one of these service tiers."""
    request_usd: float = 0.0
    """What each call costs beside its tokens."""

    def cost_usd(
        self, input_tokens: int, output_tokens: int, cached: int = 0, written: int = 0, written_1h: int = 0,
        reasoning: int = 0, service: str = "",
    ) -> float | None:  # fmt: skip
        """Cost of one call; None where it used tokens of a kind whose price is unknown.

        The further counts are parts of `input_tokens` and `output_tokens`.

        >>> priced(2.0, 8.0).cost_usd(input_tokens=500, output_tokens=100)
        0.0018
        >>> priced(2.0, 8.0, cached_input=0.2).cost_usd(500, 100, cached=400)
        0.00108
        """
        rates = self._rates(input_tokens, service)
        plain = input_tokens - cached - written - written_1h
        total = 0.0
        for tokens, rate in (
            (plain, rates.input), (output_tokens - reasoning, rates.output), (cached, rates.cached_input),
            (written, rates.cache_write), (written_1h, rates.cache_write_1h), (reasoning, rates.reasoning),
        ):  # fmt: skip
            if tokens:
                if rate is None:
                    return None
                total += tokens * rate
        return total / 1e6 + self.request_usd

    def _rates(self, input_tokens: int, service: str) -> Rates:
        steps = self.services.get(service, self.steps) if service else self.steps
        chosen = steps[0]
        for step in steps[1:]:
            if input_tokens > step.above_input_tokens:
                chosen = step
        return chosen


def priced(input_usd_per_mtok: float, output_usd_per_mtok: float, **further: float) -> ListPrice:
    """A price without steps; `further` names more rates."""
    return _list_price((Rates(input_usd_per_mtok, output_usd_per_mtok, **further),), {})  # type: ignore[arg-type]  # reason: rates, never the bound


def list_price(name: str, model: Model) -> ListPrice | None:
    """The configured price, else the bundled list's, else None: an unknown price is never zero."""
    if model.kind == "human":
        return _handed_off(model.cost_usd or 0.0)
    if model.price is not None:
        return _configured(model.price)
    return _bundled(model.provider, model.model or name)


def _handed_off(cost_usd: float) -> ListPrice:
    """The price of a person: by the hand-off."""
    free = _list_price((Rates(0.0, 0.0),), {})
    digest = blake2b(repr(cost_usd).encode(), digest_size=6, person=b"hand-off").hexdigest()
    return replace(free, request_usd=cost_usd, version=digest)


def _configured(price: Price) -> ListPrice:
    steps = (_rates_of(price, 0), *(_rates_of(tier, tier.above_input_tokens) for tier in price.tiers))
    services: dict[str, tuple[Rates, ...]] = {}
    if price.batch_discount:
        cheap = tuple(step.times(1 - price.batch_discount) for step in steps)
        services = dict.fromkeys(CHEAP_SERVICES, cheap)
    return _list_price(steps, services)


def _rates_of(price: Price | PriceTier, above_input_tokens: int) -> Rates:
    return Rates(
        price.input, price.output, price.cached_input, price.cache_write, price.cache_write_1h, price.reasoning,
        above_input_tokens,
    )  # fmt: skip


def _list_price(steps: tuple[Rates, ...], services: Mapping[str, tuple[Rates, ...]]) -> ListPrice:
    """A price with its version: a digest of all its numbers."""
    steps = tuple(step.whole() for step in steps)
    services = {name: tuple(step.whole() for step in each) for name, each in services.items()}
    numbers = [[astuple(step) for step in each] for each in (steps, *services.values())]
    digest = blake2b(repr((numbers, sorted(services))).encode(), digest_size=6).hexdigest()
    return ListPrice(steps, digest, services)


@lru_cache(maxsize=1_000)
def _bundled(provider: str, model: str) -> ListPrice | None:
    """The bundled list's price; loaded only when a model states none of its own."""
    standard = _bundled_steps(provider, model, None)
    if standard is None:
        return None
    services = {}
    for service in _BUNDLED_SERVICES:
        steps = _bundled_steps(provider, model, service)
        if steps is not None and steps != standard:
            services[service] = steps
    if "flex" in services:
        services["batch"] = services["flex"]
    return _list_price(standard, services)


def _bundled_steps(provider: str, model: str, service: str | None) -> tuple[Rates, ...] | None:
    from genai_prices import Usage, calc_price

    context = None if service is None else {"service_tier": service}
    try:
        found = calc_price(
            Usage(input_tokens=1, output_tokens=1), model, provider_id=provider, price_context=context
        ).model_price
    except LookupError:
        return None
    kinds = {
        kind: getattr(found, f"{name}_mtok")
        for kind, name in (
            ("input", "input"), ("output", "output"), ("cached_input", "cache_read"), ("cache_write", "cache_write"),
            ("cache_write_1h", "cache_write_1h"), ("reasoning", "output_reasoning"),
        )
    }  # fmt: skip
    if kinds["input"] is None and kinds["output"] is None:
        return None
    bounds = sorted({0, *(tier.start for price in kinds.values() for tier in getattr(price, "tiers", ()))})
    return tuple(
        Rates(**{kind: _at(price, bound) for kind, price in kinds.items()}, above_input_tokens=bound)
        for bound in bounds
    )


def _at(price: Any, bound: int) -> float | None:  # reason: the list's prices are numbers or tiers of them
    """A bundled price for calls just above a bound."""
    if price is None:
        return None
    if not hasattr(price, "tiers"):
        return float(price)
    applying = [tier.price for tier in price.tiers if tier.start <= bound and bound > 0]
    return float(applying[-1] if applying else price.base)
