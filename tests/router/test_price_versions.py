"""Versions of deployed models: what counts as another price, which begins a cost series, or as another model."""

import pytest

from router.applying.plan import apply
from router.config.document import Document
from router.steering.listed import list_costs
from router.steering.series import model_version, price_version
from tests.router.worlds import document, model, world

EAST = {"base_url": "http://127.0.0.1:9/v1", "region": "east"}
WEST = {"base_url": "http://127.0.0.2:9/v1", "region": "west"}
OWN, DEARER, CHEAPER = ({"input": usd, "output": 2 * usd} for usd in (10.0, 12.0, 8.0))


def placed(*places: dict[str, object], balance: str = "weighted", own: float = 10.0) -> Document:
    """The usual world, `dear` served at these places."""
    dear = model(own, 2 * own, tier=2, deployments=list(places), balance=balance)
    return document(models={"dear": dear, "cheap": model(1.0, 2.0, tier=1), "spare": model()})


def version(of: Document) -> str:
    """Of the usual experiment."""
    return price_version(of.experiments["cheaper"], of)


MIXED = placed({**EAST, "price": DEARER, "weight": 3.0}, {**WEST, "price": CHEAPER})


@pytest.mark.parametrize(
    "other",
    [
        placed({**EAST, "price": DEARER, "weight": 3.0}, {**WEST, "price": OWN}),
        placed({**EAST, "price": DEARER, "weight": 3.0}, WEST),
        placed({**EAST, "price": DEARER, "weight": 1.0}, {**WEST, "price": CHEAPER}),
        placed({**EAST, "price": DEARER, "weight": 3.0}, {**WEST, "price": CHEAPER}, balance="cheapest"),
        placed({**EAST, "price": DEARER, "weight": 3.0}, {**WEST, "price": CHEAPER}, own=11.0),
        placed({**EAST, "price": DEARER}),
        placed(),
    ],
)
def test_another_price_of_a_deployment_or_another_mixture_is_another_version(other: Document) -> None:
    """What a request costs is a mixture of the places' prices; each change of it is one of the cost."""
    assert version(other) != version(MIXED)


def test_the_same_mixture_is_the_same_version() -> None:
    """Neither the order of the file nor the scale of weights changes what a request costs."""
    again = placed({**WEST, "price": CHEAPER, "weight": 0.5}, {**EAST, "price": DEARER, "weight": 1.5})
    assert version(again) == version(MIXED)


def test_places_of_one_price_are_no_mixture() -> None:
    """A further deployment at the model's own price must not end a cost series."""
    plain = version(document())
    assert version(placed(EAST, {**WEST, "weight": 9.0})) == plain
    assert version(placed({**EAST, "price": OWN}, WEST, balance="least_busy")) == plain


def test_a_deployments_new_price_closes_the_epoch_and_begins_a_cost_series() -> None:
    """Costs before and after are different numbers, not drift."""
    made = world(placed({**EAST, "price": DEARER}, WEST))
    row = made.control.experiment("cheaper")
    made.tick()
    before = made.store.epochs(row.id)[-1]
    apply(made.store, placed({**EAST, "price": CHEAPER}, WEST), made.clock, "ann")
    made.tick()
    after = made.store.epochs(row.id)[-1]
    assert (after.number, after.cost_series) == (before.number + 1, before.cost_series + 1)
    apply(made.store, placed({**EAST, "price": CHEAPER}, {**WEST, "region": "far"}), made.clock, "ann")
    made.tick()
    assert made.store.epochs(row.id)[-1] == after
    made.close()


def test_a_further_place_is_the_same_model_and_another_upstream_name_another() -> None:
    """A region more must not make a promotion ask for review; another name behind one of them must."""

    def versions(of: Document) -> list[str]:
        return model_version(of.experiments["cheaper"], of).split("/")

    plain = versions(document())
    assert versions(placed(EAST, WEST)) == plain
    renamed = versions(placed(EAST, {**WEST, "model": "dear-2"}))
    names = document().experiments["cheaper"].candidates
    assert [name for name, old, new in zip(names, plain, renamed, strict=True) if old != new] == ["dear"]


def test_a_listed_cost_is_the_mean_of_the_places_by_weight() -> None:
    """That is what first shares, budgets and ratios of cost start from."""

    def listed(of: Document) -> dict[str, float]:
        definition = of.experiments["cheaper"]
        return dict(zip(definition.candidates, list_costs(definition, of), strict=True))

    plain, mixed = listed(document()), listed(MIXED)
    assert mixed["dear"] == pytest.approx(plain["dear"] * (3 * 12 + 8) / 4 / 10)
    assert mixed["cheap"] == plain["cheap"]
    assert listed(placed(EAST, {**WEST, "weight": 9.0})) == pytest.approx(plain)
