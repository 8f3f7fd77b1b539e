"""Listed costs: what a call of each candidate is expected to cost by the price list."""

from experiments.definition.experiment import Experiment
from router.config.document import Document
from router.config.prices import list_price

TYPICAL_INPUT_TOKENS, TYPICAL_OUTPUT_TOKENS = 500, 200
"""Size of a call by which list prices of candidates are compared before any call was metered."""
UNPRICED_USD = 1e-3


def list_costs(definition: Experiment, document: Document) -> tuple[float, ...]:
    """Expected cost of a typical call by the price list; an unpriced candidate counts as the mean of the others."""
    prices = [
        list_price(name, document.models[name]) if name in document.models else None
        for name in definition.candidates
    ]
    known = [
        None if price is None else price.cost_usd(TYPICAL_INPUT_TOKENS, TYPICAL_OUTPUT_TOKENS)
        for price in prices
    ]
    paid = [cost for cost in known if cost]
    typical = sum(paid) / len(paid) if paid else UNPRICED_USD
    return tuple(typical if cost is None else max(cost, typical * 1e-6) for cost in known)
