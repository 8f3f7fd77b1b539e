"""Waits that a task or a model states, against real servers that keep clients waiting."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from router.errors import UpstreamFailed
from router.upstream.dispatch import Limits
from tests.router.pursuing import Servers, house_of
from tests.servers.asking import ask, ask_stream
from tests.servers.house import House
from tests.servers.upstream import silent

UPSTREAMS = ("big", "small", "other")


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


@pytest.mark.parametrize("streaming", [False, True])
def test_what_could_not_be_sent_in_time_is_known_as_that_and_costs_nothing(
    servers: Servers, opened: list[House], deaf_port: int, streaming: bool
) -> None:
    """Even where an answer is given less time than a connection usually gets."""
    waits = {"connect_s": 5.0, "first_token_s": 0.3, "total_s": 0.3}
    task = {"fallbacks_on": {"timeout": [], "error": []}}
    big = {"base_url": f"http://127.0.0.1:{deaf_port}/v1", "timeouts": waits}
    opened.append(house := house_of(servers, task, big, limits=Limits()))
    with pytest.raises(UpstreamFailed):
        ask_stream(house, "task/math") if streaming else ask(house, "task/math")
    assert [(row.error, row.cost_usd) for row in house.finished] == [("connect_error", 0.0)]
