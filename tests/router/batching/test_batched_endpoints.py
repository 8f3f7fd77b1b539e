"""Batches of embeddings and responses: by the upstream's batch API and one by one, as chats are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.batch_upstream import BatchUpstream, Json, said
from tests.servers.batching import Works
from tests.servers.dialects import RESPONSE_USAGE, response

EMBEDDINGS, RESPONSES = "/v1/embeddings", "/v1/responses"
EMBEDDING_USAGE = {"prompt_tokens": 100, "total_tokens": 100}
PRICE = {"input": 10, "cached_input": 5, "output": 30, "batch_discount": 0.5}


def embedding(body: Json) -> tuple[int, Json]:
    """A vector that says how long the text is."""
    data = [{"object": "embedding", "index": 0, "embedding": [float(len(said(body)))]}]
    return 200, {"object": "list", "data": data, "model": "up", "usage": EMBEDDING_USAGE}


def spoken(body: Json) -> tuple[int, Json]:
    """A response that repeats the question."""
    return 200, response(f"answer to {said(body)}")


ANSWERS = {EMBEDDINGS: embedding, RESPONSES: spoken}


@pytest.fixture
def works(upstream: BatchUpstream, tmp_path: Path) -> Iterator[Works]:
    """`big` has a batch API, `small`, which the task `quick` is served by, has none; both cost the same."""
    small = {"base_url": upstream.url, "price": PRICE}
    config = {
        "models": {"big": {**small, "batch": True}, "small": small}, "default": "big", "retries": 0,
        "tasks": {"quick": {"default": "small"}},
    }  # fmt: skip
    made = Works(tmp_path, config)
    yield made
    made.close()


def line(place: int, endpoint: str, **body: Any) -> Json:
    """One line; every second one is for the model without a batch API."""
    asked = {
        "model": "auto" if place % 2 else "task/quick",
        "input": f"question {place}" + "!" * place,
        **body,
    }
    return {"custom_id": f"line-{place}", "method": "POST", "url": endpoint, "body": asked}


@pytest.mark.parametrize("endpoint", ANSWERS)
def test_every_line_is_answered_recorded_and_paid_at_the_price_of_its_way(
    works: Works, upstream: BatchUpstream, endpoint: str
) -> None:
    """Each body is what the endpoint itself would have answered, named by its decision."""
    upstream.answer = upstream.chat = ANSWERS[endpoint]
    lines = [line(place, endpoint) for place in range(6)]
    batch = works.finish(works.submit(lines, endpoint), upstream.finish)
    assert (batch.status, batch.completed, batch.failed) == ("completed", 6, 0)
    answers = works.lines_of(batch.output_file_id)
    assert [each["custom_id"] for each in answers] == [each["custom_id"] for each in lines]
    bodies = [each["response"]["body"] for each in answers]
    for body, asked in zip(bodies, lines, strict=True):
        (expected,) = ANSWERS[endpoint](asked["body"])[1:]
        kept = "data" if endpoint == EMBEDDINGS else "output"
        assert body[kept] == expected[kept]
    usd = (100 * 10 if endpoint == EMBEDDINGS else response_usd()) / 1e6
    costs = [usd if place % 2 == 0 else usd / 2 for place in range(6)]
    assert [body["usage"]["cost"] for body in bodies] == pytest.approx(costs)
    recorded = sorted((row["served_model"], row["cost_usd"]) for row in works.rows("calls"))
    assert [model for model, _ in recorded] == ["big"] * 3 + ["small"] * 3
    assert [cost for _, cost in recorded] == pytest.approx(sorted(costs))
    assert sorted(upstream.sent) == sorted(said(asked["body"]) for asked in lines[1::2])
    assert len(upstream.chats) == 3


def response_usd() -> float:
    """Millionths of a dollar for a response, by its tokens."""
    cached = RESPONSE_USAGE["input_tokens_details"]["cached_tokens"]
    fresh = RESPONSE_USAGE["input_tokens"] - cached
    return fresh * 10 + cached * 5 + RESPONSE_USAGE["output_tokens"] * 30


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [(EMBEDDINGS, {"input": []}), (EMBEDDINGS, {"stream": True}), (RESPONSES, {"stream": True}),
     (RESPONSES, {"previous_response_id": "resp_1"})],
)  # fmt: skip
def test_a_body_that_the_endpoint_would_refuse_is_an_error_of_its_line(
    works: Works, upstream: BatchUpstream, endpoint: str, body: Json
) -> None:
    """The others go on."""
    upstream.answer = upstream.chat = ANSWERS[endpoint]
    batch = works.finish(
        works.submit([line(0, endpoint, **body), line(1, endpoint)], endpoint), upstream.finish
    )
    assert (batch.completed, batch.failed) == (1, 1)
    (failed,) = works.lines_of(batch.error_file_id)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("line-0", 400)
    assert len(works.rows("calls")) == 1
