"""A policy over HTTP, against a real server on loopback: what it is asked, what counts as an answer, who waits."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from router.applying.plan import apply
from router.deciding.choose import Decision, RouteRequest
from router.deciding.needs import Needs
from router.steering.preview import preview
from tests.router.worlds import World, document, experiment, world
from tests.servers.oracle import Oracle

CHEAP = json.dumps({"model": "cheap", "success": {"cheap": 0.9, "dear": 0.97}}).encode()
BILLING = RouteRequest(task="support/billing", text="2+2?")


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """A running server that takes the cheap model."""
    made = Oracle(CHEAP)
    yield made
    made.stop()


def asking(oracle: Oracle, deadline_ms: int = 2_000, **ask: object) -> World:
    """A world whose experiment compares the dear model with the asked policy."""
    return world(configured(oracle, deadline_ms, **ask))


def configured(
    oracle: Oracle, deadline_ms: int = 2_000, **ask: object
) -> Any:  # reason: `document`'s own type
    """Its configuration."""
    policy = {
        "chooses": ["cheap", "dear"], "otherwise": "dear",
        "ask": {"url": oracle.url, "deadline_ms": deadline_ms, **ask},
    }  # fmt: skip
    drafted = {"cheaper": experiment(candidates=["dear", "smart"], mode="ab")}
    return document(policies={"smart": policy}, experiments=drafted)


def drawn(made: World, request: RouteRequest = BILLING) -> Decision:
    """A decision of the policy's arm."""
    return next(seen for _ in range(200) if (seen := made.engine.route(request)).candidate == "smart")


def test_it_is_asked_about_the_request_and_its_answer_is_served_and_kept(oracle: Oracle) -> None:
    """From the question to the ledger; metadata leaves only where the configuration names it."""
    made = asking(oracle, metadata=["plan"])
    try:
        request = replace(
            BILLING, metadata={"plan": "free", "secret": "x"}, unit="somebody",
            needs=Needs(tools=True, language="de", output_tokens=50),
        )  # fmt: skip
        seen = drawn(made, request)
        assert (seen.model, seen.policy, seen.predicted) == ("cheap", "smart", 0.9)
        assert oracle.asked == [
            {
                "policy": "smart", "task": "support/billing", "text": "2+2?", "metadata": {"plan": "free"},
                "needs": {"language": "de", "input_tokens": 1, "output_tokens": 50, "tools": True},
                "models": ["cheap", "dear"],
            }
        ]  # fmt: skip
        made.engine.recorder.flush()
        kept = [row for row in made.store.export("decisions") if row["number"] == seen.number]
        assert [(row["model"], row["predicted"]) for row in kept] == [("cheap", 0.9)]
    finally:
        made.close()


def test_answers_are_remembered_and_both_doors_ask_alike(oracle: Oracle) -> None:
    """The same question is asked once, whether a thread or an event loop has it."""
    made = asking(oracle)
    try:
        for _ in range(20):
            made.engine.route(BILLING)
            asyncio.run(made.engine.route_async(BILLING))
        assert len(oracle.asked) == 1
        made.engine.route(replace(BILLING, text="3+3?"))
        assert len(oracle.asked) == 2
    finally:
        made.close()


def test_it_is_asked_only_where_the_decision_could_need_it(oracle: Oracle) -> None:
    """Pins, tiers, other tasks and ended experiments go on without it."""
    made = asking(oracle, cache=0)
    try:
        for request in (
            replace(BILLING, override="dear"), replace(BILLING, tier=1), replace(BILLING, task="support"),
            RouteRequest(text="no task at all"),
        ):  # fmt: skip
            assert made.engine.route(request).policy is None
        assert not oracle.asked
        assert made.engine.route(replace(BILLING, override="smart")).model == "cheap"
        assert len(oracle.asked) == 1
        made.control.pause("cheaper", "ann")
        made.engine.refresh()
        assert made.engine.route(BILLING).reason == "paused"
        assert len(oracle.asked) == 1
    finally:
        made.close()


@pytest.mark.parametrize(
    "reply",
    [
        (500, CHEAP), (307, b""), (200, b""), (200, b"[]"), (200, b"no json"), (200, b"x" * 100_000),
        (200, b'{"model": "spare"}'), (200, b'{"model": ["cheap"]}'), (200, b'{"model": null}'),
        (200, b'{"model": "cheap", "success": 0.9}'), (200, b'{"model": "cheap", "success": {"cheap": 1.1}}'),
        (200, b'{"model": "cheap", "success": {"cheap": true}}'), (200, b'{"model": "cheap", "success": {"spare": 1}}'),
    ],
)  # fmt: skip
def test_anything_but_an_answer_is_ignored_and_counted(oracle: Oracle, reply: tuple[int, bytes]) -> None:
    """`otherwise` serves; a model that it may not choose is no answer, however it is asked for."""
    oracle.answer = lambda _: reply
    made = asking(oracle)
    try:
        seen = drawn(made)
        assert (seen.model, seen.policy, seen.predicted) == ("dear", "smart", None)
        assert "takes dear, without an answer" in seen.explanation
        assert made.engine.chosen_by["otherwise"] >= 1
        assert made.engine.unusable_answers == (
            0 if reply[0] != 200 or len(reply[1]) > 20_000 else len(oracle.asked)
        )
    finally:
        made.close()


def test_success_may_be_left_out(oracle: Oracle) -> None:
    """A policy need not predict to choose."""
    oracle.answer = lambda _: (200, b'{"model": "cheap"}')
    made = asking(oracle)
    try:
        assert (drawn(made).model, drawn(made).predicted) == ("cheap", None)
    finally:
        made.close()


def test_no_request_waits_longer_than_the_deadline_says(oracle: Oracle) -> None:
    """Also where several policies hang: they are asked at once, and left alone after some failures."""
    hold = threading.Event()

    def hang(_: object) -> tuple[int, bytes]:
        hold.wait(20)
        return 200, CHEAP

    oracle.answer = hang
    policies = {
        name: {
            "chooses": ["cheap", "dear"],
            "otherwise": "dear",
            "ask": {"url": oracle.url, "deadline_ms": 400},
        }
        for name in ("one", "two", "three")
    }
    drafted = {"cheaper": experiment(candidates=["dear", *policies], mode="ab")}
    made = world(document(policies=policies, experiments=drafted))
    try:
        for number in range(5):
            began = time.monotonic()
            request = replace(BILLING, text=f"question {number}")
            seen = made.engine.route(request) if number % 2 else asyncio.run(made.engine.route_async(request))
            assert seen.model == "dear"
            assert time.monotonic() - began < 1.1, "one after the other takes 1.2 s"
        time.sleep(0.3)  # the last failure is noted as its request gives up
        asked = len(oracle.asked)
        began = time.monotonic()
        assert made.engine.route(replace(BILLING, text="not even asked")).model == "dear"
        assert time.monotonic() - began < 0.35
        assert len(oracle.asked) == asked
    finally:
        hold.set()
        made.close()


def test_another_server_in_the_configuration_is_asked_from_then_on(oracle: Oracle) -> None:
    """Configurations change while workers run; what was counted before stays counted."""
    gone = Oracle(b"[]")
    made = asking(gone)
    try:
        assert drawn(made).model == "dear"
        before = made.engine.unusable_answers
        assert before >= 1
        apply(made.store, configured(oracle), made.clock, "ann")
        made.engine.refresh()
        assert drawn(made).model == "cheap"
        assert made.engine.unusable_answers == before
    finally:
        made.close()
        gone.stop()


def test_the_copy_of_what_a_policy_served_says_nothing_of_its_prediction(oracle: Oracle) -> None:
    """In mode shadow the control may be a policy; its word is about its own choice, not about the copy's model."""
    policy = {
        "chooses": ["cheap", "dear"], "otherwise": "dear", "ask": {"url": oracle.url, "deadline_ms": 2_000},
    }  # fmt: skip
    drafted = experiment(candidates=["smart", "spare"], mode="shadow", shadow_usd_per_day=1.0)
    tasks = {"support": {}, "support/billing": {"default": "smart"}}
    made = world(document(policies={"smart": policy}, tasks=tasks, experiments={"cheaper": drafted}))
    try:
        served = next(seen for _ in range(50) if (seen := made.engine.route(BILLING)).copy_to)
        assert (served.model, served.policy, served.predicted) == ("cheap", "smart", 0.9)
        copy = made.engine.copy(served)
        assert (copy.model, copy.policy, copy.predicted, copy.choices) == ("spare", None, None, None)
    finally:
        made.close()


def test_an_explanation_asks_it_and_says_so(oracle: Oracle) -> None:
    """Who wonders why reads what the policy was asked and what it chose; nothing is recorded."""
    made = asking(oracle, metadata=["plan"])
    try:
        seen = preview(made.store, replace(BILLING, metadata={"plan": "free"}), made.clock())
        text = "\n".join(seen.considered)
        assert (
            "policy smart (of cheap, dear) was asked with task, needs, 4 characters of text, metadata plan"
            in text
        )
        assert "chose cheap, success 0.90" in text
        assert oracle.asked[0]["metadata"] == {"plan": "free"}
        made.engine.recorder.flush()
        assert list(made.store.export("decisions")) == []
    finally:
        made.close()
