"""Retries, deployments, pauses and fallbacks by cause, against real servers that misbehave."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from experiments.definition.experiment import Experiment
from router.deciding.choose import RouteRequest
from router.errors import UpstreamFailed
from router.upstream.chat import read_chat
from router.upstream.dispatch import Limits
from tests.servers.asking import COST, QUICK, ask, ask_stream, failure
from tests.servers.house import PRICES, House, document, unused_port, upstreams
from tests.servers.upstream import (
    TEXT,
    UpstreamServer,
    answer,
    cut_stream,
    hang_up,
    raw,
    silent,
    status,
    whole,
)

LONG = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens",
        "code": "context_length_exceeded",
    }
}
FILTERED = {"error": {"message": "The response was filtered", "code": "content_filter"}}
REFUSAL = [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}]
Servers = dict[str, UpstreamServer]


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    """Three upstreams."""
    with upstreams("big", "small", "other") as servers:
        yield servers


@pytest.fixture
def servers(running: Servers) -> Servers:
    """The same, well-behaved at first."""
    for server in running.values():
        server.will(answer())
        server.requests.clear()
    return running


def house_of(
    servers: Servers, task: dict[str, Any] | None = None, big: dict[str, Any] | None = None,
    other: dict[str, Any] | None = None, limits: Limits = QUICK, **changes: Any,
) -> House:  # fmt: skip
    """A house with `big`, fallback `small`, and `other`; `task` are the settings of the task `math`."""
    config = document({name: server.url for name, server in servers.items()}, **changes)
    config["models"]["other"] |= {"price": PRICES["small"], **(other or {})}
    config["models"]["big"] |= big or {}
    config["tasks"]["math"] = task or {}
    house = House(config, limits)
    house.dispatcher.fleet.draw = lambda: 0.0
    return house


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel drops what comes further."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def opened() -> Iterator[list[House]]:
    """Houses to close."""
    houses: list[House] = []
    yield houses
    for house in houses:
        house.close()


def asked(servers: Servers) -> dict[str, int]:
    """Requests that each upstream got."""
    return {name: len(server.requests) for name, server in servers.items()}


# Retries


@pytest.mark.parametrize("script", [hang_up(), status(500), status(529), status(429)])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_failure_that_passes_is_mended_by_a_retry(
    servers: Servers, opened: list[House], script: Any, streaming: bool
) -> None:
    """The assigned model answers after all; no fallback is needed and the client sees one answer."""
    opened.append(house := house_of(servers, retries=1))
    servers["big"].will(script, answer())
    if streaming:
        events, _ = ask_stream(house, "task/math")
        assert {part["model"] for part in events[:-1]} == {"big"}
    else:
        assert ask(house, "task/math").model == "big"
    call = house.calls()[-1]
    assert (call["served_model"], call["error"], call["diverted"]) == ("big", None, False)
    assert asked(servers)["small"] == 0


def test_as_many_retries_are_made_as_the_task_states_and_then_the_next_model_is_asked(
    servers: Servers, opened: list[House]
) -> None:
    """Two retries are three attempts; the fallback is the fourth."""
    opened.append(house := house_of(servers, {"retries": 2}))
    servers["big"].will(status(503))
    assert ask(house, "task/math").model == "small"
    assert asked(servers) == {"big": 3, "small": 1, "other": 0}
    assert house.calls()[-1]["attempts"] == 4
    assert house.dispatcher.fleet.counts["retries"] == 2
    assert house.dispatcher.fleet.counts["fallbacks"] == 1


@pytest.mark.parametrize(
    ("script", "code"), [(status(400), 400), (status(401), 502), (raw(whole(b"[]")), 502)]
)
def test_what_another_attempt_cannot_mend_is_not_retried(
    servers: Servers, opened: list[House], script: Any, code: int
) -> None:
    """A bad request stays bad, and a wrong key wrong; an answer that is none was paid for."""
    opened.append(house := house_of(servers, retries=3))
    servers["big"].will(script)
    assert failure(house, "big").status == code
    assert asked(servers)["big"] == 1


def test_nothing_is_retried_once_the_client_has_the_first_byte(servers: Servers, opened: list[House]) -> None:
    """A second answer behind the beginning of the first would be a text that nobody wrote."""
    opened.append(house := house_of(servers, retries=3))
    servers["big"].will(cut_stream(*TEXT))
    events, _ = ask_stream(house, "task/math")
    assert "error" in events[-1]
    assert asked(servers) == {"big": 1, "small": 0, "other": 0}


def test_an_upstream_that_names_a_short_time_is_asked_again_after_it(
    servers: Servers, opened: list[House]
) -> None:
    """Retry-after of one second: the retry comes then, not before."""
    opened.append(house := house_of(servers, retries=1))
    servers["big"].will(status(429, {}, "retry-after: 1\r\n"), answer())
    started = time.monotonic()
    assert ask(house, "big").model == "big"
    assert 1.0 <= time.monotonic() - started < 2.5


def test_an_upstream_that_names_a_long_time_is_left_for_the_next_model(
    servers: Servers, opened: list[House]
) -> None:
    """Nobody waits half a minute while another model could answer; and it is left alone for that time."""
    opened.append(house := house_of(servers, retries=3))
    servers["big"].will(status(429, {}, "retry-after: 30\r\n"))
    assert ask(house, "task/math").model == "small"
    assert ask(house, "task/math").model == "small"
    assert asked(servers) == {"big": 1, "small": 2, "other": 0}


def test_an_outage_makes_only_a_share_more_requests(servers: Servers, opened: list[House]) -> None:
    """Retries multiply the load of whoever is down already; beyond what was saved up they are a fifth."""
    opened.append(house := house_of(servers, retries=1, fallbacks=[], cooldown={"failures": 1000}))
    servers["big"].will(status(500))
    for _ in range(60):
        failure(house, "task/math")
    assert 60 < asked(servers)["big"] <= 60 * 1.2 + 10


# Fallbacks by cause


@pytest.mark.parametrize(
    ("cause", "script", "code"),
    [("context_overflow", status(400, LONG), "context_overflow"), ("rate_limited", status(429), "rate_limited"),
     ("timeout", silent(), "timeout"), ("error", status(500), "upstream_5xx"),
     ("refusal", answer(choices=REFUSAL), "content_refused"), ("refusal", status(400, FILTERED), "content_refused")],
)  # fmt: skip
def test_the_cause_of_a_failure_names_the_next_model(
    servers: Servers, opened: list[House], cause: str, script: Any, code: str
) -> None:
    """A longer context mends what is too long, another provider what is busy; all of it is the decision's."""
    task = {"fallbacks_on": {cause: ["other"]}, "timeout_s": 1.0}
    opened.append(house := house_of(servers, task))
    servers["big"].will(script)
    got = ask(house, "task/math")
    assert (got.model, got.fallback_from) == ("other", "big")
    assert asked(servers)["small"] == 0
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["error"], call["attempts"]) == (
        "other",
        True,
        None,
        2,
    )


def test_without_a_model_for_it_a_refusal_is_the_answer_and_a_long_prompt_an_error(
    servers: Servers, opened: list[House]
) -> None:
    """As the upstream said it: the usual fallbacks are for failures of the upstream only."""
    opened.append(house := house_of(servers))
    servers["big"].will(answer(choices=REFUSAL))
    assert orjson.loads(ask(house, "task/math").body)["choices"][0]["finish_reason"] == "content_filter"
    servers["big"].will(status(400, LONG))
    assert failure(house, "task/math").status == 400
    assert [call["error"] for call in house.calls()] == [None, "context_overflow"]
    assert asked(servers)["small"] == 0


def test_a_refusal_is_the_answer_again_where_nobody_else_answers(
    servers: Servers, opened: list[House]
) -> None:
    """Two models failing to do better must not turn an answer into an error; both are paid."""
    opened.append(house := house_of(servers, {"fallbacks_on": {"refusal": ["other"]}}))
    servers["big"].will(answer(choices=REFUSAL))
    servers["other"].will(status(500))
    got = ask(house, "task/math")
    assert (got.model, got.fallback_from) == ("big", None)
    call = house.calls()[-1]
    assert (call["served_model"], call["error"], call["cost_usd"]) == (
        "big",
        None,
        pytest.approx(COST["big"]),
    )


def test_both_answers_are_paid_when_another_model_answers_after_a_refusal(
    servers: Servers, opened: list[House]
) -> None:
    """A candidate that refuses often must not look cheap."""
    opened.append(house := house_of(servers, {"fallbacks_on": {"refusal": ["other"]}}))
    servers["big"].will(answer(choices=REFUSAL))
    assert ask(house, "task/math").cost_usd == pytest.approx(COST["big"] + COST["small"])


def test_an_empty_list_means_no_fallback_for_that_cause(servers: Servers, opened: list[House]) -> None:
    """Whoever would rather hear of a timeout than wait for another model can say so."""
    opened.append(house := house_of(servers, {"fallbacks_on": {"error": []}}))
    servers["big"].will(status(500))
    assert failure(house, "task/math").status == 502
    assert asked(servers)["small"] == 0


def test_a_pinned_model_has_no_fallback_by_cause_either(servers: Servers, opened: list[House]) -> None:
    """Who asks for one model wants that one or an error."""
    opened.append(house := house_of(servers, {"fallbacks_on": {"error": ["other"]}}))
    servers["big"].will(status(500))
    chat = read_chat(orjson.dumps({"model": "big", "messages": [{"role": "user", "content": "x"}]}))
    decision = house.engine.route(RouteRequest(task="math", override="big"))
    with pytest.raises(UpstreamFailed):
        house.run(house.dispatcher.answer(decision, chat))
    assert asked(servers) == {"big": 1, "small": 0, "other": 0}


def test_a_model_named_for_a_cause_must_be_able_to_serve_the_request(
    servers: Servers, opened: list[House]
) -> None:
    """Data that must stay in the EU does not leave it because a model was busy."""
    task = {"fallbacks": [], "fallbacks_on": {"rate_limited": ["other"]}}
    opened.append(house := house_of(servers, task, {"residency": ["eu"]}, other={"residency": ["us"]}))
    servers["big"].will(status(429))
    fields = {
        "model": "task/math",
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"residency": "eu"},
    }
    chat = read_chat(orjson.dumps(fields))
    with pytest.raises(UpstreamFailed):
        house.run(house.dispatcher.answer(house.engine.route(chat.route), chat))
    assert asked(servers) == {"big": 1, "small": 0, "other": 0}
    assert "ineligible" in house.calls()[-1]["trail"]


# Timeouts


@pytest.mark.parametrize("where", ["task", "model"])
@pytest.mark.parametrize(
    ("timeouts", "streaming", "script"),
    [({"first_token_s": 0.2}, True, silent()), ({"total_s": 0.3}, False, silent()), ({"connect_s": 0.2}, False, None)],
)  # fmt: skip
def test_a_task_or_a_model_states_its_own_waits(
    servers: Servers, opened: list[House], deaf_port: int, where: str, timeouts: dict[str, float], streaming: bool,
    script: Any,
) -> None:  # fmt: skip
    """Whichever it is, the client hears within it and not within the usual times."""
    big = {"base_url": f"http://127.0.0.1:{deaf_port}/v1"} if script is None else {}
    usual = {"timeouts": timeouts}
    task = {"fallbacks_on": {"timeout": [], "error": []}, **(usual if where == "task" else {})}
    big |= usual if where == "model" else {}
    opened.append(house := house_of(servers, task, big, limits=Limits()))
    if script is not None:
        servers["big"].will(script)
    started = time.monotonic()
    with pytest.raises(UpstreamFailed):
        ask_stream(house, "task/math") if streaming else ask(house, "task/math")
    assert time.monotonic() - started < 1.5


# Deployments


def two_places(servers: Servers, **changes: Any) -> dict[str, Any]:
    """`big` at the upstreams `big` and `other`, taken in turn."""
    places = [{"region": "eu"}, {"base_url": servers["other"].url, "region": "us", "model": "big-in-us"}]
    return {"deployments": places, "balance": "round_robin", **changes}


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


# Pauses


def test_a_site_that_fails_is_left_alone_and_comes_back_by_a_probe(
    servers: Servers, opened: list[House]
) -> None:
    """Requests stop paying the outage's price after five of them, and notice its end."""
    opened.append(house := house_of(servers, cooldown={"failures": 5, "first_s": 0.3}))
    servers["big"].will(status(500))
    for _ in range(20):
        assert ask(house, "task/math").model == "small"
    assert asked(servers)["big"] == 5
    assert house.dispatcher.fleet.counts["pauses"] == 1
    servers["big"].will(answer())
    time.sleep(0.35)
    assert {ask(house, "task/math").model for _ in range(3)} == {"big"}


def test_a_pause_never_changes_who_is_assigned(servers: Servers, opened: list[House]) -> None:
    """The hash comes before availability: the candidate's requests stay its own, served by its fallback."""
    opened.append(house := house_of(servers, cooldown={"failures": 1, "first_s": 60.0}))
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
    opened.append(house := house_of(servers, fallbacks=[], cooldown={"failures": 1, "first_s": 60.0}))
    servers["big"].will(status(500))
    failure(house, "task/math")
    servers["big"].will(answer())
    assert ask(house, "task/math").model == "big"


def test_a_refused_connection_rests_like_any_other_failure(servers: Servers, opened: list[House]) -> None:
    """A dead host is found out once per worker, not once per request."""
    big = {"base_url": f"http://127.0.0.1:{unused_port()}/v1"}
    opened.append(house := house_of(servers, big=big, cooldown={"failures": 2, "first_s": 60.0}))
    for _ in range(4):
        assert ask(house, "task/math").model == "small"
    assert [call["attempts"] for call in house.calls()] == [2, 2, 1, 1]
