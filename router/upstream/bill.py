"""The bill of one request: what all its attempts used and cost together.

Where a price is unknown the cost is unknown, which is not zero.
"""

from router.config.prices import ListPrice
from router.upstream.usage import Usage


class Bill:
    """Sums so far."""

    __slots__ = ("cost_usd", "estimated", "input_tokens", "output_tokens", "price_version")

    def __init__(self) -> None:
        self.cost_usd: float | None = 0.0
        self.estimated = False
        """A part of it is an estimate."""
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.price_version = ""

    def add(self, usage: Usage, price: ListPrice | None) -> float | None:
        """One attempt's usage; returns its cost."""
        cost_usd = usage.cost_usd(price)
        self.cost_usd = None if cost_usd is None or self.cost_usd is None else self.cost_usd + cost_usd
        self.estimated |= usage.estimated
        self.input_tokens = (self.input_tokens or 0) + usage.input_tokens
        self.output_tokens = (self.output_tokens or 0) + usage.output_tokens
        self.price_version = price.version if price is not None else ""
        return cost_usd
