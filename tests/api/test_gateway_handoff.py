"""Hand-off to a person: a webhook as target of a route, candidate and fallback, paid by the piece."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from experiments.definition.experiment import Experiment
from tests.servers.house import KEY, SIGNER, House, open_house, serving, upstreams
from tests.servers.upstream import UpstreamServer, answer, status

pytestmark = pytest.mark.process
HELLO: Any = [
    {"role": "user", "content": "my house burns"}
]  # reason: the client's types are unions of typed dicts
TOLD = "A colleague will call you."


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """A model and a desk."""
    with upstreams("small", "desk") as running:
        yield running


@pytest.fixture(scope="module")
def house(servers: dict[str, UpstreamServer]) -> Iterator[House]:
    """A route sends `claims` to the desk, which backs up `chat`, and is compared on `duel`."""
    models = {
        "small": {"base_url": servers["small"].url, "price": {"input": 1.0, "output": 2.0}},
        "desk": {
            "kind": "human", "base_url": servers["desk"].url + "/hooks/chat", "api_key_env": "DESK_KEY",
            "cost_usd": 4.5, "reply": TOLD,
        },
    }  # fmt: skip
    rule = {"when": {"task": "claims"}, "model": "desk"}
    tasks = {"claims": {}, "chat": {"fallbacks": ["desk"]}, "duel": {}}
    with open_house({}, models=models, default="small", fallbacks=[], tasks=tasks, routes=[rule]) as opened:
        opened.start(Experiment(name="people", task="duel", candidates=("small", "desk"), mode="ab"))
        yield opened


@pytest.fixture
def client(house: House, servers: dict[str, UpstreamServer]) -> Iterator[openai.OpenAI]:
    """The official client; the desk takes note."""
    servers["small"].will(answer())
    servers["desk"].will(status(202))
    for server in servers.values():
        server.requests.clear()
    with (
        serving(house) as url,
        openai.OpenAI(base_url=url, api_key="pk", max_retries=0, timeout=10) as opened,
    ):
        yield opened


def test_the_desk_gets_the_conversation_and_the_client_is_told(
    client: openai.OpenAI, house: House, servers: dict[str, UpstreamServer]
) -> None:
    """One request to the webhook, with what a person needs; its fixed cost on the answer and in the ledger."""
    reply = client.chat.completions.create(
        model="task/claims", messages=HELLO, user="ada", metadata={"case": "7"}
    )
    request = servers["desk"].requests[0]
    assert (request.path, request.headers["authorization"]) == ("/v1/hooks/chat", f"Bearer {KEY}")
    assert request.body == {
        "decision_id": reply.id, "task": "claims", "model": "desk", "messages": HELLO,
        "metadata": {"case": "7"}, "user": "ada", "session_id": None,
    }  # fmt: skip
    assert (reply.model, reply.choices[0].message.content, reply.choices[0].finish_reason) == (
        "desk",
        TOLD,
        "stop",
    )
    assert reply.model_dump()["handed_off"] is True
    assert reply.usage is not None
    assert reply.usage.model_dump()["cost"] == pytest.approx(4.5)
    call = house.calls()[-1]
    assert (call["served_model"], call["cost_usd"], call["cost_estimated"], call["error"]) == (
        "desk",
        4.5,
        False,
        None,
    )


@pytest.mark.parametrize(
    "said",
    [
        {"reply": "I am on my way."},
        {"choices": [{"message": {"role": "assistant", "content": "I am on my way."}}]},
    ],
)
def test_what_a_person_says_at_once_reaches_the_client(
    client: openai.OpenAI, servers: dict[str, UpstreamServer], said: dict[str, Any]
) -> None:
    """In either shape, whole or as a stream."""
    servers["desk"].will(status(200, said))
    reply = client.chat.completions.create(model="task/claims", messages=HELLO)
    assert reply.choices[0].message.content == "I am on my way."
    assert reply.model_dump()["handed_off"] is False
    with client.chat.completions.create(
        model="task/claims", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        parts = list(chunks)
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == "I am on my way."
    assert SIGNER.verify(parts[0].id) is not None
    assert parts[-1].usage is not None
    assert parts[-1].usage.model_dump()["cost"] == pytest.approx(4.5)


def test_a_person_is_a_fallback_and_a_desk_that_is_down_an_error(
    client: openai.OpenAI, house: House, servers: dict[str, UpstreamServer]
) -> None:
    """Whole and streamed; a desk that took nothing costs nothing."""
    servers["small"].will(status(500))
    assert client.chat.completions.create(model="task/chat", messages=HELLO).model == "desk"
    with client.chat.completions.create(model="task/chat", messages=HELLO, stream=True) as chunks:
        assert {part.model for part in chunks} == {"desk"}
    servers["desk"].will(status(500))
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="task/claims", messages=HELLO, stream=stream)
        call = house.calls()[-1]
        assert (call["cost_usd"], call["error"]) == (0.0, "upstream_5xx")


def test_people_and_models_are_compared_at_what_they_cost(client: openai.OpenAI, house: House) -> None:
    """An arm like any other: the cells see 4.50 a piece."""
    for _ in range(16):
        client.chat.completions.create(model="task/duel", messages=HELLO)
    costs: dict[str, set[float]] = {}
    for call in house.calls():
        if call["experiment_id"]:
            costs.setdefault(call["served_model"], set()).add(round(call["cost_usd"], 9))
    assert costs == {"desk": {4.5}, "small": {0.00014}}


def test_people_answer_chats_only(client: openai.OpenAI, servers: dict[str, UpstreamServer]) -> None:
    """No desk is asked for embeddings."""
    with pytest.raises(openai.BadRequestError, match="a person cannot answer embeddings"):
        client.embeddings.create(model="desk", input="hello")
    assert not servers["desk"].requests
