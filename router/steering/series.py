"""Versions of an experiment's candidates: what the configuration says they cost, and which models they are.

A policy is what it chooses by and what it chooses from: its version follows its rules or its server's address, its
models and their prices. What a server behind an address has learned meanwhile nobody here can see.

When a price changes, costs before and after are not compared; when a model is another one behind the same
name, a holdback starts its watch anew and any other experiment says so.
"""

from collections.abc import Sequence
from hashlib import blake2b

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from router.availability.sites import served
from router.config.document import Document
from router.config.model import Model
from router.config.prices import ListPrice, list_price

_SAYS_NOTHING: dict[str, bool | set[str]] = {"description": True, "ask": {"deadline_ms", "cache"}}
"""Of a policy: what does not change what it would choose, given an answer."""


def price_version(definition: Experiment, document: Document) -> str:
    """A digest of the candidates' prices; unknown prices count as a version of their own."""
    return _digest([_price_of(candidate, document) for candidate in definition.candidates])


def _price_of(candidate: str, document: Document) -> str:
    """The version of a candidate's price; of a policy those of all its models."""
    policy = document.policies.get(candidate)
    if policy is not None:
        return _digest([_price_of(name, document) for name in policy.chooses])
    model = document.models.get(candidate)
    return "unknown" if model is None else _priced(candidate, model)


def _priced(name: str, model: Model) -> str:
    """A model's own price, by which callers' tokens are priced, and that of its deployments where theirs is another.

    What a request costs is then a mixture of their prices, by weight and way of balancing: a change of either is one
    of the cost. Deployments of one price are no mixture, however many they are.
    """
    own = _version(list_price(name, model))
    shares: dict[str, float] = {}
    sites = served(name, model).sites
    whole = sum(site.weight for site in sites)
    for site in sites:
        version = _version(site.price)
        shares[version] = shares.get(version, 0.0) + site.weight / whole
    if shares.keys() == {own}:
        return own
    mixed = [f"{version}:{share:.6f}" for version, share in sorted(shares.items())]
    return "+".join((own, *mixed, *([model.balance] if len(mixed) > 1 else ())))


def _version(price: ListPrice | None) -> str:
    return "unknown" if price is None else price.version


def model_version(definition: Experiment, document: Document) -> str:
    """Digests of who answers for each candidate: provider, address and the names that upstreams know.

    One digest a candidate, joined by slashes, so that the report can name the one that changed. A further place for a
    model is declared to be the same model, so addresses of deployments say nothing; another name there does.
    """
    return "/".join(_digest(_answering(name, document), size=4) for name in definition.candidates)


def _answering(name: str, document: Document) -> tuple[str, ...]:
    """Who answers for a candidate; for a policy its models, and what it chooses by."""
    policy = document.policies.get(name)
    if policy is not None:
        models = [part for each in policy.chooses for part in _answering(each, document)]
        return (policy.model_dump_json(exclude=_SAYS_NOTHING), *models)
    model = document.models.get(name)
    if model is None:
        return ()
    names = {site.model.model or name for site in served(name, model).sites}
    return (model.provider, model.base_url, *sorted(names))


def follow_on(newest: Epoch, prices: str, models: str) -> tuple[int, int]:
    """The (cost series, model series) of an epoch under these versions, after `newest`."""
    return (
        newest.cost_series + (newest.price_version != prices),
        newest.model_series + (newest.model_version != models),
    )


def _digest(parts: Sequence[str], size: int = 6) -> str:
    return blake2b("/".join(parts).encode(), digest_size=size).hexdigest()
