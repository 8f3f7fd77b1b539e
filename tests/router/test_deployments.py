"""Deployments: one model at several places, against real servers."""

from typing import Any

import pytest

from tests.router.pursuing import Servers, asked, house_of, two_places
from tests.servers.asking import COST, QUICK, ask
from tests.servers.house import PRICES, House, document
from tests.servers.upstream import hang_up, raw, silent, status, whole

UPSTREAMS = ("big", "small", "other")


def test_requests_are_divided_among_deployments_under_their_own_names(
    servers: Servers, opened: list[House]
) -> None:
    """One model here, two places there; each gets the name that it knows."""
    opened.append(house := house_of(servers, big=two_places(servers)))
    assert {ask(house, "task/math").model for _ in range(6)} == {"big"}
    assert asked(servers) == {"big": 3, "small": 0, "other": 3}
    assert {request.body["model"] for request in servers["big"].requests} == {"big-upstream"}
    assert {request.body["model"] for request in servers["other"].requests} == {"big-in-us"}
    assert not any(call["diverted"] for call in house.calls())


@pytest.mark.parametrize("script", [status(500), status(401), hang_up(), silent(), raw(whole(b"[]"))])
def test_a_failing_deployment_is_replaced_by_another_before_any_fallback(
    servers: Servers, opened: list[House], script: Any
) -> None:
    """Same model, other place: the experiment's candidate still answers itself."""
    opened.append(house := house_of(servers, {"timeout_s": 1.5}, two_places(servers)))
    servers["big"].will(script)
    for _ in range(2):
        assert ask(house, "task/math").model == "big"
    assert asked(servers)["small"] == 0
    assert house.dispatcher.fleet.counts["moves"] == 1
    assert {call["error"] for call in house.calls()} == {None}


def test_a_deployment_with_a_price_of_its_own_costs_that(servers: Servers, opened: list[House]) -> None:
    """The same model may be cheaper elsewhere, and `cheapest` goes there."""
    big = two_places(servers, balance="cheapest")
    big["deployments"][1]["price"] = PRICES["small"]
    opened.append(house := house_of(servers, big=big))
    assert ask(house, "task/math").cost_usd == pytest.approx(COST["small"])
    assert asked(servers)["other"] == 1


def test_a_model_with_deployments_needs_no_place_of_its_own(servers: Servers, opened: list[House]) -> None:
    """The first deployment's place is the model's."""
    config = document({"small": servers["small"].url}, default="big", fallbacks=[])
    config["models"]["big"] = {
        "deployments": [{"base_url": servers["big"].url}, {"base_url": servers["other"].url}]
    }
    opened.append(house := House(config, QUICK))
    assert ask(house).model == "big"
