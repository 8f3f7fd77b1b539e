"""Fallbacks by cause: which model is asked next, by what went wrong, against real servers."""

from typing import Any

import orjson
import pytest

from router.deciding.choose import RouteRequest
from router.errors import UpstreamFailed
from router.upstream.chat import read_chat
from tests.router.pursuing import Servers, asked, house_of
from tests.servers.asking import COST, ask, failure
from tests.servers.house import House
from tests.servers.upstream import answer, silent, status

UPSTREAMS = ("big", "small", "other")
LONG = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens",
        "code": "context_length_exceeded",
    }
}
FILTERED = {"error": {"message": "The response was filtered", "code": "content_filter"}}
REFUSAL = [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}]


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


def test_where_everybody_refuses_the_first_refusal_is_the_answer(
    servers: Servers, opened: list[House]
) -> None:
    """The assigned model's own, so that a second one's does not make the request count as diverted."""
    opened.append(house := house_of(servers, {"fallbacks_on": {"refusal": ["other"]}}))
    for name in ("big", "other"):
        servers[name].will(answer(choices=REFUSAL))
    assert (ask(house, "task/math").model, asked(servers)["other"]) == ("big", 1)
    call = house.calls()[-1]
    assert (call["diverted"], call["cost_usd"]) == (False, pytest.approx(COST["big"] + COST["small"]))


def test_a_refusal_in_the_models_own_words_is_one_as_well(servers: Servers, opened: list[House]) -> None:
    """`refusal` beside an empty content, as structured outputs have it."""
    opened.append(house := house_of(servers, {"fallbacks_on": {"refusal": ["other"]}}))
    said = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    servers["big"].will(answer(choices=[{"index": 0, "message": said, "finish_reason": "stop"}]))
    assert ask(house, "task/math").model == "other"
    said = {"role": "assistant", "content": "In part:", "refusal": "Not the rest."}
    servers["big"].will(answer(choices=[{"index": 0, "message": said, "finish_reason": "stop"}]))
    assert ask(house, "task/math").model == "big"


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
