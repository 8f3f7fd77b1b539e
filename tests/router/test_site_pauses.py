"""Pauses of sites: what fails is left alone for a while, against real servers."""

from experiments.definition.experiment import Experiment
from router.deciding.choose import RouteRequest
from router.upstream.dispatch import Limits
from tests.router.pursuing import Servers, asked, house_of
from tests.servers.asking import ask, failure
from tests.servers.house import House, unused_port
from tests.servers.upstream import answer, status

UPSTREAMS = ("big", "small", "other")


def test_a_site_that_fails_is_left_alone_and_comes_back_by_a_probe(
    servers: Servers, opened: list[House]
) -> None:
    """Requests stop paying the outage's price after five of them, and notice its end."""
    opened.append(house := house_of(servers, limits=Limits(), cooldown={"failures": 5, "first_s": 10.0}))
    now_s = [100.0]
    house.dispatcher._monotonic = lambda: now_s[0]
    servers["big"].will(status(500))
    for _ in range(20):
        assert ask(house, "task/math").model == "small"
    assert asked(servers)["big"] == 5
    assert house.dispatcher.fleet.counts["pauses"] == 1
    servers["big"].will(answer())
    now_s[0] += 10.0
    assert {ask(house, "task/math").model for _ in range(3)} == {"big"}


def test_a_pause_never_changes_who_is_assigned(servers: Servers, opened: list[House]) -> None:
    """The hash comes before availability: the candidate's requests stay its own, served by its fallback."""
    opened.append(house := house_of(servers, limits=Limits(), cooldown={"failures": 1, "first_s": 60.0}))
    definition = Experiment(name="x", task="math", candidates=("big", "other"), unit="user", mode="ab")
    house.start(definition)
    users = [f"user-{index}" for index in range(40)]
    before = {user: house.engine.route(RouteRequest(task="math", user=user)).candidate for user in users}
    servers["big"].will(status(500))
    for user in users:
        ask(house, "task/math", user=user)
    after = {user: house.engine.route(RouteRequest(task="math", user=user)).candidate for user in users}
    assert before == after
    assert asked(servers)["big"] == 1
    bigs = list(before.values()).count("big")
    calls = house.calls()
    assert 10 < bigs < 30
    assert (
        sum(call["arm"] == 0 and call["served_model"] == "small" and call["diverted"] for call in calls)
        == bigs
    )
    assert sum(call["arm"] == 1 and call["served_model"] == "other" for call in calls) == 40 - bigs


def test_a_model_without_any_alternative_is_asked_in_spite_of_its_pause(
    servers: Servers, opened: list[House]
) -> None:
    """A pause spares clients a wait; where nobody else is left to ask, it would only refuse them."""
    opened.append(
        house := house_of(servers, limits=Limits(), fallbacks=[], cooldown={"failures": 1, "first_s": 60.0})
    )
    servers["big"].will(status(500))
    failure(house, "task/math")
    servers["big"].will(answer())
    assert ask(house, "task/math").model == "big"


def test_a_refused_connection_rests_like_any_other_failure(servers: Servers, opened: list[House]) -> None:
    """A dead host is found out once per worker, not once per request."""
    big = {"base_url": f"http://127.0.0.1:{unused_port()}/v1"}
    opened.append(
        house := house_of(servers, limits=Limits(), big=big, cooldown={"failures": 2, "first_s": 60.0})
    )
    for _ in range(4):
        assert ask(house, "task/math").model == "small"
    assert [call["attempts"] for call in house.calls()] == [2, 2, 1, 1]
