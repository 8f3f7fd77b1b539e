"""Second attempts beside slow ones, against real servers: who answers, and what it costs."""

import orjson
import pytest

from tests.router.hedged import ESTIMATE, PATIENT, SOON, counts, hedged, served, steps, visits
from tests.router.pursuing import Servers, asked, house_of
from tests.servers.asking import COST, ask, ask_stream, failure, wait_until
from tests.servers.house import House
from tests.servers.upstream import Script, after, answer, hang_up, silent, status

UPSTREAMS = ("big", "small", "other")


# Who answers


@pytest.mark.parametrize("streaming", [False, True])
def test_a_slow_deployment_is_overtaken_by_another_one(
    servers: Servers, opened: list[House], streaming: bool
) -> None:
    """The assigned model answers all the same; both attempts are its own, and the slow one is cut at once."""
    opened.append(house := hedged(servers))
    servers["big"].will(silent())
    assert served(house, streaming) == "big"
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["error"], call["attempts"]) == (
        "big",
        False,
        None,
        2,
    )
    assert steps(house) == [("big#eu", "hedged"), ("big#eu", "lost_race"), ("big#us", "served")]
    assert call["cost_usd"] == pytest.approx(COST["big"] + ESTIMATE)
    assert call["cost_estimated"] is True
    assert counts(house) == (1, 1)
    wait_until(lambda: len(servers["big"].left_after_s) == 1)
    assert visits(house) == [0, 0]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_attempt_may_still_win(servers: Servers, opened: list[House], streaming: bool) -> None:
    """Whoever is first is the answer; then it is the second attempt that is cut and paid."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.5, answer()))
    servers["other"].will(silent())
    assert served(house, streaming) == "big"
    assert steps(house) == [("big#eu", "hedged"), ("big#us", "lost_race"), ("big#eu", "served")]
    assert house.calls()[-1]["cost_usd"] == pytest.approx(COST["big"] + ESTIMATE)
    assert counts(house) == (1, 0)
    wait_until(lambda: len(servers["other"].left_after_s) == 1)


@pytest.mark.parametrize("streaming", [False, True])
def test_an_answer_in_time_is_never_hedged(servers: Servers, opened: list[House], streaming: bool) -> None:
    """Nor is a stream whose first piece came, however long the rest takes."""
    opened.append(house := hedged(servers, {"after_s": 5.0}))
    assert served(house, streaming) == "big"
    assert (asked(servers), counts(house)) == ({"big": 1, "small": 0, "other": 0}, (0, 0))


def test_what_the_client_reads_of_the_cost_is_what_the_ledger_holds(
    servers: Servers, opened: list[House]
) -> None:
    """The loser is charged before the winner's answer is written."""
    opened.append(house := hedged(servers))
    servers["big"].will(silent())
    got = ask(house, "task/math")
    assert got.cost_usd == orjson.loads(got.body)["usage"]["cost"] == house.calls()[-1]["cost_usd"]
    events, _ = ask_stream(house, "task/math", stream_options={"include_usage": True})
    assert events[-2]["usage"]["cost"] == house.calls()[-1]["cost_usd"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_second_attempt_may_go_to_the_fallback(
    servers: Servers, opened: list[House], streaming: bool
) -> None:
    """Then another model answers: told to the client, diverted in the ledger, charged to the decision."""
    opened.append(house := house_of(servers, {"hedge": {**SOON, "to": "fallback"}}, limits=PATIENT))
    servers["big"].will(silent())
    assert served(house, streaming) == "small"
    call = house.calls()[-1]
    assert (call["served_model"], call["diverted"], call["error"]) == ("small", True, None)
    assert call["cost_usd"] == pytest.approx(COST["small"] + ESTIMATE)
    assert steps(house) == [("big", "hedged"), ("big", "lost_race"), ("small", "served")]


# Failures


def test_a_failure_before_the_time_goes_the_usual_way(servers: Servers, opened: list[House]) -> None:
    """Nothing is hedged that has failed; the other deployment is asked as always."""
    opened.append(house := hedged(servers, {"after_s": 5.0}))
    servers["big"].will(status(500))
    assert served(house, False) == "big"
    assert counts(house) == (0, 0)
    assert steps(house) == [("big#eu", "upstream_5xx"), ("big#us", "served")]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("script", [status(500), hang_up()])
def test_the_second_attempt_goes_on_when_the_first_one_fails(
    servers: Servers, opened: list[House], script: Script, streaming: bool
) -> None:
    """It is the attempt then; the failure is the first site's own."""
    opened.append(house := hedged(servers, cooldown={"failures": 1, "first_s": 60.0}))
    servers["big"].will(after(0.4, script))
    servers["other"].will(after(0.8, answer()))
    assert served(house, streaming) == "big"
    code = "upstream_5xx" if script is not None and steps(house)[1][1] == "upstream_5xx" else "connect_error"
    assert steps(house) == [("big#eu", "hedged"), ("big#eu", code), ("big#us", "served")]
    assert house.dispatcher.fleet.counts["pauses"] == 1
    assert house.calls()[-1]["diverted"] is False


@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_attempt_goes_on_when_the_second_one_fails(
    servers: Servers, opened: list[House], streaming: bool
) -> None:
    """A hedge that failed is no reason to give up what is under way."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.6, answer()))
    servers["other"].will(status(500))
    assert served(house, streaming) == "big"
    assert steps(house) == [("big#eu", "hedged"), ("big#us", "upstream_5xx"), ("big#eu", "served")]
    assert asked(servers)["small"] == 0


def test_when_both_fail_the_chain_follows_and_asks_nobody_twice(
    servers: Servers, opened: list[House]
) -> None:
    """Two places of the model are used up; the fallback answers."""
    opened.append(house := hedged(servers))
    servers["big"].will(after(0.4, status(500)))
    servers["other"].will(after(0.4, status(500)))
    assert served(house, False) == "small"
    assert asked(servers) == {"big": 1, "small": 1, "other": 1}
    assert house.calls()[-1]["attempts"] == 3


def test_a_fallback_that_failed_beside_the_first_attempt_is_not_asked_again(
    servers: Servers, opened: list[House]
) -> None:
    """The client hears of the assigned model, which is what it asked for."""
    opened.append(house := house_of(servers, {"hedge": {**SOON, "to": "fallback"}}, limits=PATIENT))
    servers["big"].will(after(0.5, status(503)))
    servers["small"].will(status(500))
    error = failure(house, "task/math")
    assert error.status == 503
    assert asked(servers) == {"big": 1, "small": 1, "other": 0}
    assert house.calls()[-1]["error"] == "upstream_5xx"
