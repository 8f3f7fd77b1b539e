"""Prices: what a model's tokens cost in US dollars, from the configuration or the bundled list."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from router.config.document import Model

_SAMPLE_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class ListPrice:
    """Price of one model in US dollars per million tokens; `version` changes when a number does."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    version: str

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Cost of one call.

        >>> priced(2.0, 8.0).cost_usd(input_tokens=500, output_tokens=100)
        0.0018
        """
        return (input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok) / 1e6


def priced(input_usd_per_mtok: float, output_usd_per_mtok: float) -> ListPrice:
    """A price with its version: a digest of the numbers."""
    digest = blake2b(f"{input_usd_per_mtok!r}/{output_usd_per_mtok!r}".encode(), digest_size=6).hexdigest()
    return ListPrice(input_usd_per_mtok, output_usd_per_mtok, digest)


def list_price(name: str, model: Model) -> ListPrice | None:
    """The configured price, else the bundled list's, else None: an unknown price is never zero."""
    if model.price is not None:
        return priced(model.price.input, model.price.output)
    return _bundled(model.provider, model.model or name)


@lru_cache(maxsize=1_000)
def _bundled(provider: str, model: str) -> ListPrice | None:
    """The bundled list's price of a short call; loaded only when a model states none of its own."""
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(
            Usage(input_tokens=_SAMPLE_TOKENS, output_tokens=_SAMPLE_TOKENS),
            model_ref=model,
            provider_id=provider,
        )
    except LookupError:
        return None
    per_mtok = 1e6 / _SAMPLE_TOKENS
    return priced(float(found.input_price) * per_mtok, float(found.output_price) * per_mtok)
