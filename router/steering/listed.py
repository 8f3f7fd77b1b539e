"""Listed costs: what a call of each candidate is expected to cost by the price list."""

from experiments.definition.experiment import Experiment
from router.availability.sites import served
from router.config.document import Document
from router.config.model import Model

TYPICAL_INPUT_TOKENS, TYPICAL_OUTPUT_TOKENS = 500, 200
"""Size of a call by which list prices of candidates are compared before any call was metered."""
UNPRICED_USD = 1e-3


def list_costs(definition: Experiment, document: Document) -> tuple[float, ...]:
    """Expected cost of a typical call by the price list; an unpriced candidate counts as the mean of the others.

    A policy lies between its models, nobody knows where before its first calls: it counts as their mean.
    """
    known = [_typical_usd(name, document) for name in definition.candidates]
    paid = [cost for cost in known if cost]
    typical = sum(paid) / len(paid) if paid else UNPRICED_USD
    return tuple(typical if cost is None else max(cost, typical * 1e-6) for cost in known)


def _typical_usd(name: str, document: Document) -> float | None:
    """What a typical call of a candidate costs, None where a price is unknown."""
    costs = [_model_usd(each, document.models[each]) for each in document.models_behind(name)]
    priced = [cost for cost in costs if cost is not None]
    return sum(priced) / len(priced) if priced and len(priced) == len(costs) else None


def _model_usd(name: str, model: Model) -> float | None:
    """What a typical call of a model costs: the mean of its places by their weights."""
    total_usd = weight = 0.0
    for site in served(name, model).sites:
        price = site.price
        usd = None if price is None else price.cost_usd(TYPICAL_INPUT_TOKENS, TYPICAL_OUTPUT_TOKENS)
        if usd is None:
            return None
        total_usd += site.weight * usd
        weight += site.weight
    return total_usd / weight
