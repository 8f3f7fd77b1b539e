"""Embeddings and responses through the gateway, as the official OpenAI client sees them."""

from collections.abc import Iterator
from typing import Any, get_type_hints

import httpx
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from experiments.definition.experiment import Experiment
from router.deciding.choose import RouteRequest
from router.errors import InvalidRequest
from router.recording.feedback import FeedbackItem
from router.upstream import embeddings, responses
from router.upstream.embeddings import read_embeddings
from router.upstream.responses import STATEFUL_FIELDS, read_response
from tests.servers import dialects
from tests.servers.dialects import RESPONSE_USAGE, named_event, response, response_events
from tests.servers.house import KEY, SIGNER, House, open_house
from tests.servers.upstream import UpstreamServer, answer, cut_stream, status, stream, whole

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """An engine with an experiment by users on the task `math`."""
    with open_house({name: server.url for name, server in servers.items()}) as opened:
        opened.start(
            Experiment(name="duel", task="math", candidates=("big", "small"), unit="user", mode="ab")
        )
        yield opened


@pytest.fixture
def client(url: str, servers: dict[str, UpstreamServer]) -> Iterator[openai.OpenAI]:
    """The official client."""
    for server in servers.values():
        server.requests.clear()
    with openai.OpenAI(base_url=url, api_key="pk-client", max_retries=0, timeout=10) as opened:
        yield opened


def will(servers: dict[str, UpstreamServer], script: Any) -> None:
    """Both upstreams behave like this."""
    for server in servers.values():
        server.will(script)


def test_the_allow_lists_are_what_the_official_client_can_send() -> None:
    """A field that OpenAI adds shows up here."""
    assert get_type_hints(EmbeddingCreateParams).keys() == embeddings.ALLOWED_FIELDS
    assert get_type_hints(ResponseCreateParamsStreaming).keys() == responses.ALLOWED_FIELDS


def test_embeddings_are_routed_metered_and_rated_like_chats(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """A user keeps the candidate; the header and the extra `id` name the decision; feedback finds it."""
    will(servers, dialects.embeddings())
    seen: dict[str, set[str]] = {}
    for number in range(16):
        got = client.embeddings.with_raw_response.create(
            model="task/math",
            input=["a", "b"],
            user=f"user-{number % 8}",
            encoding_format="float",
            dimensions=3,
        )
        reply, headers = got.parse(), got.headers
        decision = headers["x-pointsman-decision"]
        assert (reply.model_dump()["id"], SIGNER.verify(decision) is not None) == (decision, True)
        assert [item.embedding for item in reply.data] == [[0.5] * 3, [1.5] * 3]
        assert headers["x-pointsman-candidate"] == reply.model
        seen.setdefault(f"user-{number % 8}", set()).add(reply.model)
    assert all(len(models) == 1 for models in seen.values())
    assert set().union(*seen.values()) == {"big", "small"}
    rate = {"big": 10e-6, "small": 1e-6}
    assert float(headers["x-pointsman-cost"]) == pytest.approx(100 * rate[reply.model])
    call = house.calls()[-1]
    assert (call["input_tokens"], call["output_tokens"], call["cost_estimated"]) == (100, 0, False)
    assert call["cost_usd"] == pytest.approx(100 * rate[reply.model])
    (state,) = house.engine.give_feedback([FeedbackItem(decision_id=decision, value=1.0)])
    assert str(state.state) == "applied"
    request = servers[reply.model].requests[-1]
    assert (request.path, request.headers["authorization"]) == ("/v1/embeddings", f"Bearer {KEY}")
    assert request.body == {
        "model": f"{reply.model}-upstream", "input": ["a", "b"], "user": "user-7", "encoding_format": "float",
        "dimensions": 3,
    }  # fmt: skip


def test_embeddings_fall_back_and_estimate_what_is_not_told(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """A failing upstream, then one that reports no usage: 40 characters are 10 tokens."""
    servers["big"].will(status(500))
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}

    async def without_usage(request: Any, wire: Any) -> None:
        await wire.send(whole(orjson.dumps(body)))

    servers["small"].will(without_usage)
    reply = client.embeddings.create(model="task/support", input="x" * 40, encoding_format="float")
    assert (reply.model, reply.usage.prompt_tokens, reply.usage.model_dump()["estimated"]) == (
        "small",
        10,
        True,
    )
    call = house.calls()[-1]
    assert (call["diverted"], call["cost_estimated"]) == (True, True)
    will(servers, answer())
    with pytest.raises(openai.InternalServerError, match="no embeddings"):
        client.embeddings.create(model="big", input="x")


def test_a_response_is_named_by_its_decision_and_stored_nowhere(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """id, model and cost as for chats; upstream `store` is false, whatever the client says."""
    will(servers, dialects.responses())
    got = client.responses.with_raw_response.create(
        model="task/support",
        input="2+2?",
        instructions="be brief",
        user="ada",
        store=True,
        metadata={"session_id": "s"},
    )
    reply = got.parse()
    assert (reply.output_text, reply.model, reply.id) == ("four", "big", got.headers["x-pointsman-decision"])
    assert reply.usage is not None
    assert reply.usage.model_dump()["cost"] == pytest.approx((100 * 10 + 20 * 30) / 1e6)
    request = servers["big"].requests[-1]
    assert request.path == "/v1/responses"
    assert request.body == {
        "model": "big-upstream", "input": "2+2?", "instructions": "be brief", "user": "ada", "store": False,
    }  # fmt: skip
    assert house.calls()[-1]["output_tokens"] == 20


def test_a_streamed_response_passes_event_by_event(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """Every event that names the response names the decision; the last one carries the cost."""
    will(servers, dialects.responses())
    with client.responses.stream(model="task/support", input="2+2?") as events:
        seen = list(events)
        final = events.get_final_response()
    sent = [orjson.loads(part.split(b"data: ", 1)[1])["type"] for part in response_events()]
    assert [event.type for event in seen] == sent
    assert final.output_text == "four"
    assert SIGNER.verify(final.id) is not None
    named = [event.response for event in seen if event.type in ("response.created", "response.completed")]  # type: ignore[union-attr]  # reason: these hold one
    assert {(response.id, response.model) for response in named} == {(final.id, "big")}
    assert final.usage is not None
    assert final.usage.model_dump()["cost"] == pytest.approx(0.0016)
    call = house.calls()[-1]
    assert (call["error"], call["cost_usd"], call["cost_estimated"]) == (None, pytest.approx(0.0016), False)
    assert call["first_token_ms"] is not None


EVENTS = response_events()
FAILED = named_event({"type": "response.failed", "response": response(status="failed"), "sequence_number": 9})


@pytest.mark.parametrize(
    "script", [stream(*EVENTS[:-1]), cut_stream(*EVENTS[:-1]), stream(*EVENTS[:6], FAILED)]
)
def test_a_truncated_response_raises_in_the_client(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House, script: Any
) -> None:
    """Half an answer never looks whole, in the words of this API."""
    will(servers, script)
    with pytest.raises(openai.APIError, match="ended before its answer was complete"):
        list(client.responses.create(model="big", input="2+2?", stream=True))
    assert (house.calls()[-1]["error"], house.calls()[-1]["cost_estimated"]) == ("incomplete", True)


def test_a_response_that_fails_before_it_begins_goes_to_another_model(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], house: House
) -> None:
    """`created` is no beginning: nothing had reached the client."""
    servers["small"].will(dialects.responses())
    servers["big"].will(stream(*EVENTS[:2], FAILED))
    with client.responses.stream(model="task/support", input="2+2?") as events:
        assert events.get_final_response().model == "small"
    servers["big"].will(dialects.responses(status="failed"))
    assert client.responses.create(model="task/support", input="2+2?").model == "small"
    assert house.calls()[-1]["diverted"]


def test_cached_and_reasoning_tokens_of_responses_are_priced(servers: dict[str, UpstreamServer]) -> None:
    """Known answer: 40 in at 10, 60 cached at 1, 12 out at 30, 8 reasoned at 20 dollars per million."""
    will(servers, dialects.responses())
    price = {"input": 10.0, "output": 30.0, "cached_input": 1.0, "reasoning": 20.0}
    models = {"big": {"base_url": servers["big"].url, "price": price}}
    house = House({"models": models, "default": "big"}, keys={})
    call = read_response(orjson.dumps({"model": "auto", "input": "2+2?"}))
    got = house.run(house.dispatcher.answer(house.engine.route(call.route), call))
    house.close()
    assert got.cost_usd == pytest.approx((40 * 10 + 60 * 1 + 12 * 30 + 8 * 20) / 1e6)
    assert RESPONSE_USAGE["input_tokens"] == 100


@pytest.mark.parametrize("field", sorted(STATEFUL_FIELDS))
def test_what_refers_to_a_providers_memory_is_refused(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], field: str
) -> None:
    """The next turn may be another model's; a silent loss of the conversation would be worse than an error."""
    value: Any = True if field == "background" else {"id": "x"} if field == "prompt" else "resp_1"
    with pytest.raises(openai.BadRequestError, match="send the whole conversation") as caught:
        client.responses.create(model="auto", input="and?", **{field: value})
    assert caught.value.param == field
    assert not servers["big"].requests


@pytest.mark.parametrize(
    ("path", "fields", "field"),
    [("embeddings", {"input": ""}, "input"), ("embeddings", {"input": []}, "input"), ("embeddings", {}, "input"),
     ("embeddings", {"input": [1, "x"]}, "input"), ("embeddings", {"input": "x", "api_base": "http://e/"}, "api_base"),
     ("responses", {}, "input"), ("responses", {"input": []}, "input"), ("responses", {"input": ["x"]}, "input"),
     ("responses", {"input": "x", "base_url": "http://e/"}, "base_url"),
     ("responses", {"input": "x", "stream": 1}, "stream")],
)  # fmt: skip
def test_a_bad_request_is_a_400_that_names_the_field(url: str, path: str, fields: Any, field: str) -> None:
    """By the same allow-lists as chats."""
    reply = httpx.post(f"{url}/{path}", json={"model": "auto", **fields})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)


def test_rules_read_what_is_asked() -> None:
    """A text, the newest user item, or the texts to embed choose the task."""
    items = [
        {"role": "user", "content": "old"}, {"role": "assistant", "content": "no"},
        {"role": "user", "content": [{"type": "input_text", "text": "new"}]}, {"type": "function_call_output"},
    ]  # fmt: skip
    for given_input, text in (("one", "one"), (items, "new")):
        assert read_response(orjson.dumps({"model": "auto", "input": given_input})).route.text == text
    for given_texts, text in (("one", "one"), (["one", "two"], "one\ntwo"), ([1, 2], ""), ([[1], [2]], "")):
        assert read_embeddings(orjson.dumps({"model": "auto", "input": given_texts})).route.text == text


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "text"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["input", "model", "stream", "tools", "user", "dimensions", "odd"]), JSON)
)
def test_any_body_is_read_or_refused(fields: dict[str, Any]) -> None:
    """No request of a client ends as an error of ours."""
    for read in (read_embeddings, read_response):
        try:
            call = read(orjson.dumps({"model": "auto", "input": "x", **fields}))
        except InvalidRequest:
            continue
        assert orjson.loads(call.forwarded)["input"] == {"input": "x", **fields}["input"]


def test_reported_cached_tokens_lower_the_cost(servers: dict[str, UpstreamServer]) -> None:
    """Known answer: 40 fresh at 10, 60 cached at 1 and 20 out at 30 dollars per million; more than all is refused."""
    price = {"input": 10.0, "output": 30.0, "cached_input": 1.0}
    models = {name: {"base_url": servers["big"].url, "price": price} for name in ("big", "small")}
    house = House({"models": models, "default": "big", "tasks": {"math": {}}}, keys={})
    house.start(Experiment(name="duel", task="math", candidates=("big", "small"), mode="ab"))
    decision = house.engine.route(RouteRequest(task="math"))
    item = FeedbackItem(decision_id=decision.id, input_tokens=100, output_tokens=20, cached_input_tokens=60)
    house.engine.give_feedback([item])
    kept = {row["metric"]: row["value"] for row in house.store.export("feedback")}
    house.close()
    assert kept["cost_usd"] == pytest.approx((40 * 10 + 60 * 1 + 20 * 30) / 1e6)
    assert kept["cached_input_tokens"] == 60.0
    for tokens in ({"input_tokens": 59, "output_tokens": 1}, {}):
        with pytest.raises(ValueError, match="cached_input_tokens == 60, must be at most input_tokens"):
            FeedbackItem(decision_id=decision.id, value=1.0, cached_input_tokens=60, **tokens)
