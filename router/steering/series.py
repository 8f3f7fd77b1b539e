"""Versions of an experiment's candidates: what the configuration says they cost, and which models they are.

When a price changes, costs before and after are not compared; when a model is another one behind the same
name, a holdback starts its watch anew and any other experiment says so.
"""

from collections.abc import Sequence
from hashlib import blake2b

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from router.config.document import Document
from router.config.prices import list_price


def price_version(definition: Experiment, document: Document) -> str:
    """A digest of the candidates' prices; unknown prices count as a version of their own."""
    versions = []
    for candidate in definition.candidates:
        model = document.models.get(candidate)
        price = list_price(candidate, model) if model is not None else None
        versions.append(price.version if price is not None else "unknown")
    return _digest(versions)


def model_version(definition: Experiment, document: Document) -> str:
    """Digests of who answers for each candidate: provider, address and the name that the upstream knows.

    One digest a candidate, joined by slashes, so that the report can name the one that changed.
    """
    models = [(name, document.models.get(name)) for name in definition.candidates]
    return "/".join(
        _digest(() if model is None else (model.provider, model.base_url, model.model or name), size=4)
        for name, model in models
    )


def follow_on(newest: Epoch, prices: str, models: str) -> tuple[int, int]:
    """The (cost series, model series) of an epoch under these versions, after `newest`."""
    return (
        newest.cost_series + (newest.price_version != prices),
        newest.model_series + (newest.model_version != models),
    )


def _digest(parts: Sequence[str], size: int = 6) -> str:
    return blake2b("/".join(parts).encode(), digest_size=size).hexdigest()
