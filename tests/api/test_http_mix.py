"""The mix of tiers on the wire, on the overview and in the metrics."""

from collections.abc import Iterator

import pytest

from api.admin.schemas import RouteList
from tests.servers.front import Front, open_front

MODELS = {
    "big": {"base_url": "http://127.0.0.1:9/v1", "tier": 2},
    "small": {"base_url": "http://127.0.0.1:9/v1", "tier": 1},
}


@pytest.fixture
def front() -> Iterator[Front]:
    with open_front(models=MODELS, mix={"1": 0.7, "2": 0.3}) as opened:
        yield opened


def decide(front: Front, tier: int, times: int) -> None:
    """So many decisions for a tier, counted as a worker counts them each second."""
    before = tuple(front.engine.tiers)
    for _ in range(times):
        front.post("/v1/route", {"tier": tier})
    now = front.engine.tiers
    front.counters.tiers_served([after - first for after, first in zip(now, before, strict=True)])


def test_the_mix_and_its_drift_are_told_with_the_routes(front: Front) -> None:
    """Whoever declared 70% small must see that it is not, where the routing table is read."""
    fresh = RouteList.model_validate_json(front.get("/v1/routes").body).mix
    assert fresh is not None
    assert (fresh.decisions, fresh.drift) == (0, False)
    decide(front, 1, 10)
    decide(front, 2, 60)
    mix = RouteList.model_validate_json(front.get("/v1/routes").body).mix
    assert mix is not None
    assert [(each.tier, each.declared, each.decisions) for each in mix.tiers] == [(1, 0.7, 10), (2, 0.3, 60)]
    assert mix.drift
    page = front.get("/").body.decode()
    assert "Mix of tiers has drifted" in page
    assert "tier 2 86% of 70 decisions" in page
    assert 'pointsman_tier_decisions_total{tier="2"} 60' in front.get("/metrics").body.decode()


def test_without_a_declared_mix_nothing_is_said() -> None:
    """An empty line on the overview would only raise questions."""
    with open_front() as plain:
        assert plain.get("/v1/routes").json["mix"] is None
        assert "declared mix" not in plain.get("/").body.decode()
