"""Works over an upstream with both batch APIs, and what is done with them again and again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.batch_upstream import BatchUpstream, Json, completion, message
from tests.servers.batching import Works

DIALECTS = ("openai", "anthropic")
CREATE = {"openai": "/batches", "anthropic": "/messages/batches"}


def works_of(
    upstream: BatchUpstream, folder: Path, opened: list[Works], dialect: str = "openai", **changes: Any
) -> Works:  # fmt: skip
    """`big` has a batch API, `small`, which the task `quick` is served by, has none."""
    price = {"input": 10, "output": 30, "batch_discount": 0.5}
    big = {"base_url": upstream.url, "dialect": dialect, "price": price, "batch": True}
    if dialect == "anthropic":
        big["default_max_tokens"] = 100
    small = {"base_url": upstream.url, "price": {"input": 1, "output": 2}}
    config = {
        "models": {"big": big | changes.pop("big", {}), "small": small}, "default": "big", "retries": 0,
        "tasks": {"quick": {"default": "small"}, "support": {}}, **changes,
    }  # fmt: skip
    opened.append(made := Works(folder, config))
    return made


def said(lines: list[Json]) -> list[str]:
    """What the answers say."""
    return [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]


def answering(upstream: BatchUpstream, dialect: str) -> None:
    """Answer as the dialect does; a foreign request is answered with nothing of use."""
    answer = completion if dialect == "openai" else message
    upstream.answer = lambda body: (
        answer(body) if "messages" in body else (400, {"error": {"message": "foreign"}})
    )


def run_until(works: Works, happened: Callable[[], bool]) -> None:
    """A batcher that crashes once something has happened."""

    async def until_then(crew: Any) -> None:
        await crew.until(happened)

    works.run(until_then)
