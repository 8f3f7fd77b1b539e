"""The classifier over HTTP, against a real server on loopback: deadline, memory, rest after failures."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import pytest

from router.classifying.asked import AskedClassifier
from router.classifying.guess import Guess
from router.deciding.choose import RouteRequest
from router.transport.asked import FAILURES, REST_MS
from tests.router.worlds import HandClock, document, world
from tests.servers.oracle import Oracle

RIGHT = json.dumps({"task": "support/billing", "confidence": 0.9}).encode()


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """A running server."""
    made = Oracle(RIGHT, "text")
    yield made
    made.stop()


@pytest.fixture
def clock() -> HandClock:
    """Time moved by hand."""
    return HandClock()


@pytest.fixture
def asked(oracle: Oracle, clock: HandClock) -> Iterator[AskedClassifier]:
    """A client with a generous deadline that remembers two answers."""
    made = AskedClassifier(oracle.url, 2_000, 2, clock)
    yield made
    made.close()


def test_an_answer_is_a_guess_and_is_remembered(asked: AskedClassifier, oracle: Oracle) -> None:
    """Requests repeat; a model that is asked for each of them would be the slowest part of the gateway."""
    assert [asked.guess(text) for text in ("a", "a", "b", "a")] == [Guess("support/billing", 0.9)] * 4
    assert oracle.asked == ["a", "b"]
    asked.guess("c")
    asked.guess("b")
    assert oracle.asked == ["a", "b", "c", "b"], "the least recently used is forgotten first"


def test_an_event_loop_gets_the_same_and_goes_on_meanwhile(asked: AskedClassifier, oracle: Oracle) -> None:
    """One slow answer must not hold the other requests of a worker."""

    def slow(_: str) -> tuple[int, bytes]:
        time.sleep(0.4)
        return 200, RIGHT

    oracle.answer = slow

    async def all_at_once() -> list[Guess | None]:
        return await asyncio.gather(*(asked.guess_async(f"text {number}") for number in range(8)))

    began = time.monotonic()
    assert asyncio.run(all_at_once()) == [Guess("support/billing", 0.9)] * 8
    assert time.monotonic() - began < 2.5, "one after the other takes 3.2 s"


@pytest.mark.parametrize(
    "answer",
    [
        (500, RIGHT), (404, b""), (307, b""), (200, b""), (200, b"[]"), (200, b"no json"), (200, b"x" * 100_000),
        (200, b'{"task": "a"}'), (200, b'{"task": "", "confidence": 1}'), (200, b'{"task": 7, "confidence": 1}'),
        (200, b'{"task": "a", "confidence": 1.5}'), (200, b'{"task": "a", "confidence": true}'),
        (200, b'{"task": "a", "confidence": "high"}'), (200, b'{"task": "a", "confidence": null}'),
    ],
)  # fmt: skip
def test_anything_but_a_guess_is_no_answer(
    asked: AskedClassifier, oracle: Oracle, answer: tuple[int, bytes]
) -> None:
    """Redirects are not followed, so no answer can send the gateway elsewhere; nothing raises."""
    oracle.answer = lambda _: answer
    assert asked.guess("a") is None
    assert len(oracle.asked) == 1


def test_nobody_waits_longer_than_the_deadline(oracle: Oracle, clock: HandClock) -> None:
    """A hanging classifier costs each request the deadline and no more, and later ones nothing."""
    hold = threading.Event()

    def hang(_: str) -> tuple[int, bytes]:
        hold.wait(10)
        return 200, RIGHT

    oracle.answer = hang
    hurried = AskedClassifier(oracle.url, 60, 10, clock)
    try:
        for number in range(FAILURES):
            began = time.monotonic()
            assert hurried.guess(f"text {number}") is None
            assert time.monotonic() - began < 5
        time.sleep(0.1)
        assert len(oracle.asked) == FAILURES
        assert hurried.guess("not even asked") is None
        assert len(oracle.asked) == FAILURES
    finally:
        hold.set()
        hurried.close()


def test_after_its_rest_a_server_is_asked_again(
    asked: AskedClassifier, oracle: Oracle, clock: HandClock
) -> None:
    """A restart of the classifier must not need a restart of the gateway."""
    oracle.answer = lambda _: (500, b"")
    for number in range(FAILURES):
        assert asked.guess(f"text {number}") is None
    oracle.answer = lambda _: (200, RIGHT)
    assert asked.guess("resting") is None
    clock.forward(REST_MS)
    assert asked.guess("rested") == Guess("support/billing", 0.9)


def test_a_server_that_is_not_there_is_no_error(clock: HandClock) -> None:
    """The default serves."""
    gone = Oracle(RIGHT)
    gone.stop()
    nowhere = AskedClassifier(gone.url, 500, 10, clock)
    assert nowhere.guess("a") is None
    nowhere.close()
    assert nowhere.guess("b") is None


def test_requests_are_routed_by_its_word_and_counted_when_it_is_silent(oracle: Oracle) -> None:
    """From the configuration to the decision: rules first, then the server, then the default with its reason."""
    settings = {"url": oracle.url, "deadline_ms": 1_000}
    asking = world(document(classifier=settings))
    try:
        named = asking.engine.route(RouteRequest(text="money back"))
        assert (named.task, named.task_reason, named.confidence) == ("support/billing", "classified", 0.9)
        assert asking.engine.route(RouteRequest(text="my invoice")).task_reason == "keyword"
        assert asking.engine.route(RouteRequest(task="support", text="money")).task_reason == "explicit"
        assert asking.engine.route(RouteRequest(text="pinned", override="cheap")).reason == "override"
        assert oracle.asked == ["money back"]
        assert (
            asyncio.run(asking.engine.route_async(RouteRequest(text="money back"))).task == "support/billing"
        )
        oracle.answer = lambda _: (200, b'{"task": "support/billing", "confidence": 0.59}')
        assert asking.engine.route(RouteRequest(text="perhaps money")).task_reason == "unsure"
        oracle.answer = lambda _: (503, b"")
        silent = asking.engine.route(RouteRequest(text="anything"))
        assert (silent.task, silent.task_reason, silent.reason) == ("default", "unavailable", "unrouted")
        assert asking.engine.found_by["unavailable"] == 1
    finally:
        asking.close()


def test_another_server_in_the_configuration_is_asked_from_then_on(oracle: Oracle) -> None:
    """Configurations change while workers run."""
    from router.applying.plan import apply

    asking = world(document(classifier={"url": "http://127.0.0.1:9/", "deadline_ms": 1_000}))
    try:
        assert asking.engine.route(RouteRequest(text="money back")).task_reason == "unavailable"
        apply(
            asking.store, document(classifier={"url": oracle.url, "deadline_ms": 1_000}), asking.clock, "ann"
        )
        asking.engine.refresh()
        assert asking.engine.route(RouteRequest(text="money back")).task_reason == "classified"
        apply(asking.store, document(), asking.clock, "ann")
        asking.engine.refresh()
        assert asking.engine.route(RouteRequest(text="money back")).task_reason == "default"
    finally:
        asking.close()
