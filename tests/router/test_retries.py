"""Retries: what is tried again at the same model, how often and when, against real servers."""

import time
from typing import Any

import pytest

from tests.router.pursuing import Servers, asked, house_of
from tests.servers.asking import ask, ask_stream, failure
from tests.servers.house import House
from tests.servers.upstream import TEXT, answer, cut_stream, hang_up, raw, status, whole

UPSTREAMS = ("big", "small", "other")


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
