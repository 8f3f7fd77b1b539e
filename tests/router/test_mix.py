"""The mix of tiers: declared, counted, and said to drift only where it does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from router.applying.checks import check_document
from router.config.document import Document
from router.deciding.choose import RouteRequest
from router.steering.mix import chi_square_tail, mix_of
from tests.router.worlds import document, model, world


@given(st.floats(0.0, 200.0), st.integers(1, 9))
def test_the_tail_is_the_chi_square_law_of_scipy(statistic: float, freedom: int) -> None:
    """Known answers for every number of tiers that can be declared."""
    assert chi_square_tail(statistic, freedom) == pytest.approx(
        chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300
    )


@pytest.mark.parametrize(
    ("counts", "drift"),
    [
        ({1: 700, 2: 300}, False),
        ({1: 7, 2: 3}, False),
        ({1: 3, 2: 7}, False),
        ({1: 600, 2: 400}, True),
        ({1: 720_000, 2: 280_000}, False),
        ({1: 1_000}, True),
        ({1: 700, 2: 300, 0: 100}, True),
        ({}, False),
    ],
)
def test_drift_needs_both_a_difference_that_matters_and_enough_traffic(
    counts: dict[int, int], drift: bool
) -> None:
    """Ten decisions prove nothing, and a million prove differences that nobody would act on."""
    mix = mix_of({"1": 0.7, "2": 0.3}, [counts.get(tier, 0) for tier in range(10)])
    assert mix is not None
    assert mix.drift is drift, mix
    assert ("drifted" in mix.sentence) is drift
    assert mix_of({}, [5] * 10) is None


@pytest.mark.statistical
def test_a_mix_that_is_as_declared_is_called_drifting_no_more_often_than_its_p_says() -> None:
    """3,000 servers of 1,000 decisions each, every one as declared."""
    rng = np.random.default_rng(7)
    alarms = 0
    for counts in rng.multinomial(1_000, [0.7, 0.2, 0.1], size=3_000):
        mix = mix_of({"1": 0.7, "2": 0.2, "3": 0.1}, [0, *counts.tolist(), *[0] * 6])
        assert mix is not None
        alarms += mix.drift
    assert alarms <= 12


def test_decisions_are_counted_by_the_tier_of_their_model() -> None:
    """Experiments, champions and hints alike: the mix is of all traffic."""
    made = world(document(models={"dear": model(tier=2), "cheap": model(tier=1), "spare": model()}))
    for request in (RouteRequest(), RouteRequest(tier=1), RouteRequest(override="spare")):
        made.engine.route(request)
    assert made.engine.tiers[:3] == [1, 1, 1]
    for _ in range(50):
        made.engine.route(RouteRequest(task="support/billing"))
    assert sum(made.engine.tiers) == 53
    assert made.engine.tiers[1] > 1
    made.close()


def warnings(**changes: object) -> list[str]:
    """Warnings about providers."""
    raw = {"default": "a", "fallbacks": ["b"], "models": {}, **changes}
    found = check_document(Document.model_validate(raw))
    return [".".join(map(str, each.loc)) for each in found if "at the provider of" in each.message]


def test_fallbacks_that_would_all_be_down_with_the_champion_are_warned_of() -> None:
    """A fallback at the same provider helps against its rate limit and not against its outage."""
    one, other = {"base_url": "https://one.example/v1"}, {"base_url": "https://two.example/v1"}
    assert warnings(models={"a": one, "b": one}) == ["fallbacks"]
    assert warnings(models={"a": one, "b": other}) == []
    assert warnings(models={"a": {**one, "provider": "acme"}, "b": {**other, "provider": "acme"}}) == [
        "fallbacks"
    ]
    assert warnings(models={"a": one, "b": one, "c": other}, fallbacks=["b", "c"]) == []
    assert warnings(
        models={"a": one, "b": other, "c": other},
        tasks={"t": {"default": "c"}, "u": {"fallbacks": ["b", "c"]}},
    ) == ["tasks.t.default"]
    assert warnings(models={"a": one}, fallbacks=[]) == []
