"""Clients that know nothing of Pointsman, unmodified, against a real server: only their base URL is ours.

They live in an environment of their own, because litellm needs an older official client than our tests do.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.servers.dialects import embeddings, message, messages
from tests.servers.house import upstreams
from tests.servers.upstream import Request, Script, UpstreamServer, Wire, answer, whole
from tests.servers.whole import Server, serving_whole

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
"""The environment of the dependency group `clients`; `make test` makes it."""
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "*",
    "PYTHONUTF8": "1",
}
"""Neither client may ask a server that is not under test."""
CLIENTS = ("openai", "langchain", "litellm")
CONFIG = """
models:
  big: {base_url: "BIG", model: big-upstream, api_key_env: BIG_KEY, price: {input: 10.0, output: 30.0}}
  other: {base_url: "BIG", model: other-upstream, price: {input: 1.0, output: 3.0}}
  claude: {base_url: "CLAUDE", model: claude-upstream, dialect: anthropic, price: {input: 3.0, output: 15.0}}
default: big
tasks:
  support: {}
  embed: {}
  claude: {default: claude}
experiments:
  sizes: {task: support, candidates: [big, other], mode: ab}
"""
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}


def openai_like() -> Script:
    """What OpenAI answers to each endpoint; a request with tools is answered by a call."""
    chosen = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [CALL]}}

    async def script(request: Request, wire: Wire) -> None:
        if request.path.endswith("/embeddings"):
            await embeddings()(request, wire)
        elif request.body.get("tools"):
            await answer(choices=[{**chosen, "finish_reason": "tool_calls"}])(request, wire)
        else:
            await answer()(request, wire)

    return script


def anthropic_like() -> Script:
    """The same for Anthropic."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 2}}

    async def script(request: Request, wire: Wire) -> None:
        if request.body.get("tools"):
            await wire.send(whole(orjson.dumps(message(use, stop_reason="tool_use"))))
        else:
            await messages()(request, wire)

    return script


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """One upstream of each dialect."""
    with upstreams("big", "claude") as running:
        running["big"].will(openai_like())
        running["claude"].will(anthropic_like())
        yield running


@pytest.fixture(scope="module")
def server(servers: dict[str, UpstreamServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The whole of `pointsman serve` over both."""
    config = CONFIG.replace('BIG"', servers["big"].url + '"').replace("CLAUDE", servers["claude"].url)
    with serving_whole(tmp_path_factory.mktemp("clients"), config) as running:
        assert running.ask("POST", "/v1/experiments/sizes/start", {})[0] == 200
        yield running


@pytest.fixture(scope="module", params=CLIENTS)
def seen(
    request: pytest.FixtureRequest, server: Server, servers: dict[str, UpstreamServer]
) -> dict[str, Any]:
    """What a client saw, by task; starting one takes longer than all its requests."""
    for upstream in servers.values():
        upstream.requests.clear()
    return drive(server, request.param)


def drive(server: Server, client: str) -> dict[str, Any]:
    """Run a client through all it can do, for a task of each dialect."""
    assert PYTHON.exists(), f"{PYTHON} is missing: make it with `make test`"
    command = [str(PYTHON), "-W", "ignore", str(Path(__file__).with_name("drive.py")), client]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()} | QUIET
    done = subprocess.run(
        [*command, f"http://{server.address}/v1", "support", "claude"],
        env=environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_client_gets_answers_streams_tools_and_embeddings(
    server: Server, servers: dict[str, UpstreamServer], seen: dict[str, Any]
) -> None:
    """Nothing but the base URL was changed; the ids that it keeps name decisions, so it can give feedback."""
    got = seen["support"]
    assert (got["text"], got["streamed"], got["total_tokens"]) == ("four", "four", 120)
    assert got["tool"] == ["add", {"a": 2}, "tool_calls"]
    assert got["embeddings"] == [[0.5] * 3, [1.5] * 3]
    chats = [
        request.path for request in servers["big"].requests if request.path.endswith("/chat/completions")
    ]
    assert len(chats) == 3
    for decision in (got["id"], got["stream_id"]):
        status, body = server.ask("POST", "/v1/feedback", {"decision_id": decision, "value": 1.0})
        assert (status, body["state"]) == (202, "applied")


def test_a_client_gets_the_same_from_an_upstream_of_another_dialect(
    servers: dict[str, UpstreamServer], seen: dict[str, Any]
) -> None:
    """It need not know which provider answers: the shapes are those of OpenAI."""
    got = seen["claude"]
    assert (got["text"], got["streamed"], got["total_tokens"]) == ("four", "four", 120)
    assert got["tool"] == ["add", {"a": 2}, "tool_calls"]
    assert [request.path for request in servers["claude"].requests] == ["/v1/messages"] * 3
