"""A client that leaves a whole answer: noticed, finished within bounds, metered, and tried no further."""

import logging
import time
from collections.abc import Iterator

import openai
import pytest

from tests.servers.asking import wait_until
from tests.servers.house import House, open_house, serving
from tests.servers.upstream import UpstreamServer, after, answer, silent, status

pytestmark = pytest.mark.process
FINISH_S = 1.2


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """An engine over both."""
    with open_house({name: server.url for name, server in servers.items()}) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(house: House) -> Iterator[str]:
    """The gateway on a real server that finishes abandoned answers for little more than a second."""
    with serving(house, FINISH_S) as base_url:
        yield base_url


def leave(url: str, after_s: float) -> None:
    """Ask for a whole answer and give up on it."""
    with (
        openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=after_s) as hasty,
        pytest.raises(openai.APITimeoutError),
    ):
        hasty.chat.completions.create(model="task/support", messages=[{"role": "user", "content": "hello"}])


def test_an_answer_that_comes_soon_after_is_metered_exactly(
    url: str, servers: dict[str, UpstreamServer], house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Its provider bills it in any case, and only the finished answer says how much; nobody is blamed."""
    caplog.set_level(logging.INFO, "pointsman.calls")
    servers["big"].will(after(1.6, answer()))
    before = len(house.calls())
    leave(url, 1.2)
    wait_until(lambda: len(house.calls()) == before + 1)
    call = house.calls()[-1]
    assert (call["error"], call["cost_estimated"], call["served_model"]) == (None, False, "big")
    assert call["cost_usd"] == pytest.approx(0.0016)
    wait_until(lambda: "its client left" in caplog.text)


def test_an_answer_that_does_not_come_is_cut_and_estimated(
    url: str, servers: dict[str, UpstreamServer], house: House
) -> None:
    """Abandoned work is bounded, or clients that give up and ask again would pile it up."""
    servers["big"].will(silent())
    servers["big"].left_after_s.clear()
    before, tasks = len(house.calls()), house.tasks()
    leave(url, 0.3)
    wait_until(lambda: len(servers["big"].left_after_s) == 1)
    assert servers["big"].left_after_s[0] < 1.0 + FINISH_S + 1.0
    wait_until(lambda: len(house.calls()) == before + 1)
    call = house.calls()[-1]
    assert (call["error"], call["cost_estimated"]) == (None, True)
    assert call["cost_usd"] > 0
    wait_until(lambda: house.tasks() <= tasks)


def test_no_other_model_is_tried_for_nobody(
    url: str, servers: dict[str, UpstreamServer], house: House
) -> None:
    """The decided model fails after the client left: its failure counts, a fallback would only cost."""
    servers["big"].will(after(1.6, status(500)))
    servers["small"].requests.clear()
    before = len(house.calls())
    leave(url, 1.2)
    wait_until(lambda: len(house.calls()) == before + 1)
    call = house.calls()[-1]
    assert (call["error"], call["attempts"], call["served_model"]) == ("upstream_5xx", 1, "big")
    assert not servers["small"].requests


def test_a_client_that_waits_gets_its_answer_after_the_watch_began(
    url: str, servers: dict[str, UpstreamServer], house: House
) -> None:
    """Watching must not disturb an answer that takes long."""
    servers["big"].will(after(1.4, answer("late")), answer("soon"))
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=10) as patient:
        for expected in ("late", "soon"):
            began = time.monotonic()
            got = patient.chat.completions.create(
                model="task/support", messages=[{"role": "user", "content": "hello"}]
            )
            assert got.choices[0].message.content == expected
            assert time.monotonic() - began < 5


def test_what_went_another_way_is_in_the_log(
    url: str, servers: dict[str, UpstreamServer], house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Attempts in order, dialect, finish reason and refusal; a plain answer says nothing."""
    caplog.set_level(logging.INFO, "pointsman.calls")
    servers["small"].will(answer())
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=10) as client:
        for script in (answer(), status(429), answer(choices=[_refused()])):
            servers["big"].will(script)
            client.chat.completions.create(model="task/support", messages=[{"role": "user", "content": "hi"}])
    lines = [record.getMessage() for record in caplog.records if record.name == "pointsman.calls"]
    assert len(lines) == 2
    assert "served by small (openai) after 2 attempts [big: rate_limited], finish_reason stop" in lines[0]
    assert "served by big (openai) after 1 attempts, finish_reason content_filter" in lines[1]


def _refused() -> dict[str, object]:
    message = {"role": "assistant", "content": None, "refusal": "no"}
    return {"index": 0, "message": message, "finish_reason": "content_filter"}
