"""Sites: the places that serve a model. A model without deployments is its own single site."""

from dataclasses import dataclass

from router.availability.quotas import Rule, limit_rules
from router.config.availability import Balance, Timeouts
from router.config.model import Model
from router.config.prices import ListPrice, list_price


@dataclass(frozen=True, slots=True)
class Site:
    """One place that serves a model."""

    id: str
    """The model's name, with the deployment's region or number behind `#` where it has several."""
    name: str
    """Name of the model."""
    model: Model
    """The model as it is served there."""
    price: ListPrice | None
    weight: float = 1.0
    rules: tuple[Rule, ...] = ()
    """Limits of this place and of its model."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model with its sites."""

    name: str
    sites: tuple[Site, ...]
    balance: Balance
    timeouts: Timeouts | None
    prices: tuple[ListPrice | None, ...]
    """Of its sites, each once."""


def served(name: str, model: Model) -> Served:
    """The sites of a model, in the order of the file."""
    whole = limit_rules(f"model:{name}", model.limits)
    sites = tuple(
        Site(
            site_id, name, there := model.at(each), list_price(name, there), each.weight,
            (*limit_rules(f"site:{site_id}", each.limits), *whole),
        )
        for site_id, each in zip(site_ids(name, model), model.deployments, strict=True)
    )  # fmt: skip
    own = (Site(name, name, model, list_price(name, model), rules=whole),)
    places = sites or own
    prices = {None if site.price is None else site.price.version: site.price for site in places}
    return Served(name, places, model.balance, model.timeouts, tuple(prices.values()))


def site_ids(name: str, model: Model) -> tuple[str, ...]:
    """Names of a model's deployments: by region where that tells them apart, else by number.

    >>> from router.config.model import Model
    >>> places = [{"region": "eu"}, {"region": "us"}, {}]
    >>> site_ids("big", Model.model_validate({"base_url": "http://a/v1", "deployments": places}))
    ('big#eu', 'big#us', 'big#3')
    """
    regions = [each.region for each in model.deployments]
    return tuple(
        f"{name}#{region if region is not None and regions.count(region) == 1 else place}"
        for place, region in enumerate(regions, 1)
    )
