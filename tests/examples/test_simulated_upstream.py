"""The simulated models' servers, as the official client and the demo see them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import openai
import pytest
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessageParam,
    ChatCompletionStreamOptionsParam,
)

from examples.figures import read_figures
from examples.questions import Asked, answer, question_text
from examples.simulated_upstream import serving

FIGURES = read_figures()
MODEL = "gemini-1.5-flash-002"
ROOT = Path(__file__).parents[2]
PROMPT: list[ChatCompletionMessageParam] = [{"role": "user", "content": question_text("law", 17)}]
_Got = TypeVar("_Got")


def with_model(ask: Callable[[openai.AsyncOpenAI], Awaitable[_Got]], model: str = MODEL) -> _Got:
    """What the official client gets from one model's server."""

    async def served() -> _Got:
        async with serving(FIGURES, seed=3) as urls:
            client = openai.AsyncOpenAI(base_url=urls[model], api_key="none", max_retries=0)
            async with client:
                return await ask(client)

    return asyncio.run(served())


def expected() -> str:
    """The answer that the model must give."""
    return answer(3, Asked("law-17", "law"), MODEL, FIGURES.subjects["law"]).text


def test_a_completion_has_text_usage_and_the_models_name() -> None:
    """Usage is what cost is metered from."""

    async def ask(client: openai.AsyncOpenAI) -> ChatCompletion:
        return await client.chat.completions.create(model=MODEL, messages=PROMPT)

    completion = with_model(ask)
    assert completion.model == MODEL
    assert completion.choices[0].message.content == expected()
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    said = answer(3, Asked("law-17", "law"), MODEL, FIGURES.subjects["law"])
    assert completion.usage.prompt_tokens == said.input_tokens
    assert completion.usage.completion_tokens == said.output_tokens


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream_carries_the_same_text_and_usage_only_when_asked(with_usage: bool) -> None:
    """The gateway always asks for usage and must get it; others must not be surprised by it."""

    async def ask(client: openai.AsyncOpenAI) -> list[ChatCompletionChunk]:
        usage: ChatCompletionStreamOptionsParam = {"include_usage": with_usage}
        stream = await client.chat.completions.create(
            model=MODEL, messages=PROMPT, stream=True, stream_options=usage
        )
        return [chunk async for chunk in stream]

    chunks = with_model(ask)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == expected()
    assert len(chunks) > 4
    assert [chunk.usage is not None for chunk in chunks].count(True) == with_usage
    assert {chunk.model for chunk in chunks} == {MODEL}


def test_wrong_models_and_prompts_get_openai_errors() -> None:
    """A mistake in a configuration must read as one."""

    async def ask(client: openai.AsyncOpenAI) -> str:
        with pytest.raises(openai.NotFoundError, match="is not served here"):
            await client.chat.completions.create(model="other", messages=PROMPT)
        with pytest.raises(openai.BadRequestError, match="a question the demo made"):
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
        return (await client.models.list()).data[0].id

    assert with_model(ask) == MODEL


def test_counts_tell_how_often_each_model_was_asked() -> None:
    """The demo compares this side's count with its own."""

    async def asked() -> dict[str, int]:
        async with serving(FIGURES, seed=3) as urls, aiohttp.ClientSession() as session:
            for _ in range(3):
                body = {"model": MODEL, "messages": PROMPT}
                async with session.post(urls[MODEL] + "/chat/completions", json=body) as reply:
                    assert reply.status == 200
            async with session.get(urls["jamba-1.5-large"].removesuffix("/v1") + "/counts") as reply:
                counts: dict[str, int] = await reply.json()
                return counts

    assert asyncio.run(asked()) == {model: 3 if model == MODEL else 0 for model in FIGURES.models}


@pytest.mark.process
def test_the_process_names_its_servers_and_ends_with_who_started_it() -> None:
    """A demo that was killed must leave no servers behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.simulated_upstream"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()).keys() == set(FIGURES.models)
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
