"""Simulated models behind real OpenAI-compatible servers, one port each.

    python -m examples.simulated_upstream --seed 1

prints one line of JSON, {"model": "http://127.0.0.1:PORT/v1", ...}, and serves until its standard input closes
or SIGTERM comes, so that it never outlives who started it. `GET /counts` says how many requests each model saw.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from examples.figures import Figures, read_figures
from examples.questions import Answer, answer, asked

FASTEST_MS, SLOWEST_MS = 1.0, 3.0
_CREATED = 1_700_000_000
_CHUNKS = 6
_MAX_BYTES = 1_000_000
_JSON = "application/json"


class SimulatedModel:
    """One model: answers chat completions as measured, after its latency."""

    def __init__(self, model: str, figures: Figures, seed: int, latency_ms: float) -> None:
        self.model = model
        self.requests = 0
        """Chat completions asked of it."""
        self._figures = figures
        self._seed = seed
        self._latency_s = latency_ms / 1_000

    def app(self, counts: "Counts") -> web.Application:
        """Its server's routes."""
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/counts", counts.read)
        return app

    async def models(self, _: web.Request) -> web.Response:
        """GET /v1/models."""
        entry = {"id": self.model, "object": "model", "created": _CREATED, "owned_by": "simulated"}
        return _json({"object": "list", "data": [entry]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions, streaming or not."""
        self.requests += 1
        try:
            body = orjson.loads(await request.read())
            prompt = body["messages"][-1]["content"]
            if body["model"] != self.model:
                return _error(404, f"model {str(body['model'])[:80]!r} is not served here, {self.model!r} is")
            found = self._answer(prompt)
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return _error(400, "the body must be a chat completion with a question the demo made")
        await asyncio.sleep(self._latency_s)
        name = f"chatcmpl-{self.requests}"
        if body.get("stream") is True:
            options = body.get("stream_options") or {}
            return await self._stream(request, name, found, options.get("include_usage") is True)
        return _json(self._completion(name, found))

    def _answer(self, prompt: str) -> Answer:
        question = asked(prompt)
        if question is None:
            raise LookupError("no question")
        return answer(self._seed, question, self.model, self._figures.subjects[question.subject])

    def _completion(self, name: str, found: Answer) -> dict[str, object]:
        message = {"role": "assistant", "content": found.text}
        return {
            "id": name,
            "object": "chat.completion",
            "created": _CREATED,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _usage(found),
        }

    async def _stream(
        self, request: web.Request, name: str, found: Answer, with_usage: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        for chunk in self._chunks(name, found, with_usage):
            await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    def _chunks(self, name: str, found: Answer, with_usage: bool) -> list[dict[str, object]]:
        size = -(-len(found.text) // _CHUNKS)
        deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": found.text[at : at + size]} for at in range(0, len(found.text), size)]
        choices: list[list[dict[str, object]]] = [
            [{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas
        ]
        choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        head: dict[str, object] = {
            "id": name, "object": "chat.completion.chunk", "created": _CREATED, "model": self.model
        }  # fmt: skip
        chunks = [{**head, "choices": choice} for choice in choices]
        return [*chunks, {**head, "choices": [], "usage": _usage(found)}] if with_usage else chunks


class Counts:
    """How many chat completions each model was asked for."""

    def __init__(self, models: Sequence[SimulatedModel]) -> None:
        self._models = models

    async def read(self, _: web.Request) -> web.Response:
        """GET /counts."""
        return _json({model.model: model.requests for model in self._models})


@asynccontextmanager
async def serving(figures: Figures, seed: int) -> AsyncIterator[Mapping[str, str]]:
    """Serve every model on a loopback port of its own; yields base URLs by model."""
    step_ms = (SLOWEST_MS - FASTEST_MS) / max(1, len(figures.models) - 1)
    models = [
        SimulatedModel(name, figures, seed, SLOWEST_MS - place * step_ms)
        for place, name in enumerate(figures.models)
    ]
    counts, runners, urls = Counts(models), [], {}
    try:
        for model in models:
            runner = web.AppRunner(model.app(counts), access_log=None, shutdown_timeout=0.5)
            runners.append(runner)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
            await site.start()
            host, port = runner.addresses[0][:2]
            urls[model.model] = f"http://{host}:{port}/v1"
        yield urls
    finally:
        for runner in runners:
            await runner.cleanup()


def _usage(found: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": found.input_tokens,
        "completion_tokens": found.output_tokens,
        "total_tokens": found.input_tokens + found.output_tokens,
    }


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type=_JSON)


def _error(status: int, message: str) -> web.Response:
    kind: dict[str, Any] = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _json({"error": kind}, status)


async def serve_until_alone(seed: int) -> None:
    """Serve until standard input closes or SIGTERM comes."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    stdin = sys.stdin.fileno()

    def heard() -> None:
        if not os.read(stdin, 1_000):
            over.set()

    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_reader(stdin, heard)
    async with serving(read_figures(), seed) as urls:
        print(orjson.dumps(urls).decode(), flush=True)
        await over.wait()
    loop.remove_reader(stdin)
    loop.remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends anyway, and a closing loop would complain


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description="simulated models for the demo")
    parser.add_argument("--seed", type=int, default=1, help="what answers follow from")
    asyncio.run(serve_until_alone(parser.parse_args(arguments).seed))


if __name__ == "__main__":
    main()
