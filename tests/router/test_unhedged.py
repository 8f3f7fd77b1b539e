"""Where there is no second attempt: a luxury breaks no bound and is no more than its share."""

import time
from typing import Any

import orjson
import pytest

from router.availability.hedging import ENOUGH
from router.deciding.choose import Decision, RouteRequest
from router.upstream.chat import read_chat
from tests.router.hedged import NOON_MS, PATIENT, SOON, ask_many, counts, hedged
from tests.router.pursuing import Servers, asked, configured, two_places
from tests.servers.asking import ask, failure
from tests.servers.house import House
from tests.servers.upstream import after, answer, silent, status

UPSTREAMS = ("big", "small", "other")


@pytest.mark.parametrize("why", ["purse", "pause", "limit", "budget", "one place", "pinned", "no fallback"])
def test_nothing_is_hedged_where_something_speaks_against_it(
    servers: Servers, opened: list[House], why: str
) -> None:
    """A second attempt is a luxury: it breaks no bound and wakes no site that rests."""
    hedge, model = {"to": "fallback"} if why in ("pinned", "no fallback") else {}, "task/math"
    big: dict[str, Any] = {"deployments": []} if why == "one place" else {}
    if why == "limit":
        places = two_places(servers)["deployments"]
        big = {"deployments": [places[0], {**places[1], "limits": {"rpm": 1}}]}
    budget = {"usd_per_day": 0.001, "pacing": False}  # enough to reserve one answer, not two
    task: dict[str, Any] = {"budget": budget} if why == "budget" else {}
    opened.append(house := hedged(servers, hedge, big=big, task=task, cooldown={"failures": 1, "first_s": 60.0},
                                  fallbacks=[] if why == "no fallback" else ["small"]))  # fmt: skip
    house.dispatcher._quotas._clock = lambda: NOON_MS
    fleet = house.dispatcher.fleet
    fleet.follow(house.engine.snapshot)
    if why == "purse":
        assert fleet.hedge_purse("math").spend()
    if why in ("pause", "limit"):
        servers["other"].will(status(500) if why == "pause" else answer())
        asks = [ask(house, "task/support") for _ in range(2)]  # one of them at the second place
        assert len(asks) == 2
    servers["big"].will(after(0.3, answer()))
    before = asked(servers)
    if why == "pinned":
        chat = read_chat(orjson.dumps({"model": "x", "messages": [{"role": "user", "content": "2+2?"}]}))
        decision = house.engine.route(RouteRequest(task="math", override="big"))
        assert house.run(house.dispatcher.answer(decision, chat)).model == "big"
    else:
        assert ask(house, model, max_tokens=20).model == "big"
    assert counts(house) == (0, 0)
    assert asked(servers) == {**before, "big": before["big"] + 1}


@pytest.mark.parametrize("default", ["people", "big"])
def test_a_person_is_never_hurried(servers: Servers, opened: list[House], default: str) -> None:
    """A second hand-off of one conversation would have two people answer it; nor is one called in by a slow model."""
    other = "big" if default == "people" else "people"
    config = configured(servers, default=default, fallbacks=[other])
    config["models"]["people"] = {"kind": "human", "base_url": servers["small"].url, "cost_usd": 1.0}
    config["tasks"]["math"] = {"hedge": {**SOON, "to": "fallback"}}
    opened.append(house := House(config, PATIENT))
    servers["small"].will(after(0.3, status(202)))
    servers["big"].will(after(0.3, answer()))
    assert ask(house, "task/math").model == default
    assert counts(house) == (0, 0)


def test_a_copy_is_never_hedged(servers: Servers, opened: list[House]) -> None:
    """Nobody waits for it."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.3, answer()))
    chat = read_chat(orjson.dumps({"model": "task/math", "messages": [{"role": "user", "content": "2+2?"}]}))
    decision: Decision = house.engine.route(chat.route)
    object.__setattr__(decision, "reason", "shadow")
    house.run(house.dispatcher.answer(decision, chat))
    assert counts(house) == (0, 0)


def test_a_batch_request_is_never_hedged(servers: Servers, opened: list[House]) -> None:
    """It says itself that it has time."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.3, answer()))
    assert ask(house, "task/math", metadata={"latency": "batch"}).model == "big"
    assert counts(house) == (0, 0)


def test_a_request_is_hedged_once(servers: Servers, opened: list[House]) -> None:
    """A retry that is slow again has had its second chance."""
    opened.append(house := hedged(servers, {"share": 0.2}, fallbacks=[], task={"retries": 2}))
    house.dispatcher.fleet.follow(house.engine.snapshot)
    house.dispatcher.fleet.hedge_purse("math").give_back()
    servers["big"].will(after(0.2, status(500)))
    servers["other"].will(after(0.2, status(500)))
    failure(house, "task/math")
    assert counts(house) == (1, 0)
    assert house.calls()[-1]["attempts"] > 2


def test_of_many_slow_requests_a_share_is_hedged(servers: Servers, opened: list[House]) -> None:
    """A fifth of thirty, and the one that is there from the start."""
    opened.append(house := hedged(servers, {"share": 0.2}))
    servers["big"].will(after(0.15, answer()))
    servers["other"].will(after(0.15, answer()))
    ask_many(house, 30)
    assert 5 <= counts(house)[0] <= 7


def test_the_usual_time_of_a_site_is_learned_from_its_answers(servers: Servers, opened: list[House]) -> None:
    """Until fifty are known `after_s` holds; then the 95th percentile of that site does."""
    opened.append(house := hedged(servers, {"after": "p95", "after_s": 60.0}, big={"balance": "weighted"}))
    ask_many(house, ENOUGH)
    assert counts(house) == (0, 0)
    servers["big"].will(silent())
    started_s = time.monotonic()
    assert ask(house, "task/math").model == "big"
    assert time.monotonic() - started_s < 20
    assert counts(house) == (1, 1)
