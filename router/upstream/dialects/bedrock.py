"""The dialect of AWS Bedrock's Converse API. botocore signs requests and divides streams; all else is ours.

Keys come from the configuration alone: none of botocore's look-ups in environment, files and metadata servers
is ever started.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from router.config.dialects import Dialect
from router.config.model import Model
from router.transport.transport import BrokenAnswer, Reply, Upstream
from router.upstream.attempt import Attempt
from router.upstream.call import Call
from router.upstream.chat_events import ChatEvents
from router.upstream.dialects.bedrock_request import translate
from router.upstream.dialects.bedrock_stream import BinaryParser, ConverseDecoder
from router.upstream.dialects.bedrock_words import finish_of, read_error, read_token_usage
from router.upstream.dialects.chat_words import Json, completion_fields, dump_arguments, dump_request
from router.upstream.events import Events
from router.upstream.exchange import Recipient
from router.upstream.replies import Completion, completion_of, read_object, write_completion
from router.upstream.usage import Usage

SERVICE = "bedrock"
REQUIRED, OPTIONAL = frozenset({"access_key_id", "secret_access_key"}), frozenset({"session_token"})
_REGION = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-\d+)\.")


@dataclass(frozen=True, slots=True)
class _Credentials:
    """What botocore's signer reads."""

    access_key: str
    secret_key: str
    token: str | None


class Converse:
    """`converse`, for the chat endpoint; see `router.upstream.exchange.Exchange`."""

    def body(self, call: Call, name: str, model: Model) -> bytes:  # noqa: ARG002  # the address names the model
        """The translated request; raises Untranslatable."""
        return dump_request(translate(call.fields), call, model)

    def target(self, recipient: Recipient, call: Call, body: bytes) -> Upstream:
        """The model's own address, with a Bedrock API key, or signed by an access key."""
        method = "converse-stream" if call.stream else "converse"
        url = f"{recipient.model.base_url}/model/{quote(recipient.name, safe='')}/{method}"
        key, secrets = recipient.key, recipient.secrets
        if secrets:
            region = region_of(recipient.model) or ""
            return Upstream(url, None, signed(url, body, region, secrets), tuple(secrets.values()))
        return Upstream(url, key, {"Authorization": f"Bearer {key}"} if key else {})

    def read(self, body: bytes, now_ms: int) -> Completion:
        """An answer; raises BrokenAnswer if it is none."""
        answer = read_object(body)
        output = answer.get("output")
        message = output.get("message") if isinstance(output, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list):
            raise BrokenAnswer("the reply holds no message")
        usage = read_token_usage(answer.get("usage"), answer.get("serviceTier"))
        finish = finish_of(answer.get("stopReason"))
        choice = {"index": 0, "message": _message(content), "logprobs": None, "finish_reason": finish}
        return completion_of(completion_fields([choice], usage, now_ms), usage)

    def write(
        self, completion: Completion, decision_id: str, model: str, usage: Usage, cost_usd: float | None
    ) -> bytes:
        """The answer for the client."""
        return write_completion(completion, decision_id, model, usage, cost_usd)

    def events(self, attempt: Attempt, call: Call, now_ms: int) -> Events:
        """The events of a stream."""
        return ChatEvents(attempt, call, ConverseDecoder(now_ms), BinaryParser())

    def error(self, reply: Reply) -> Reply:
        """The error in OpenAI's terms."""
        return read_error(reply)


def signed(url: str, body: bytes, region: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """Headers that show who sends this body to this address, by AWS's Signature Version 4."""
    request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
    credentials = _Credentials(
        secrets["access_key_id"], secrets["secret_access_key"], secrets.get("session_token")
    )
    SigV4Auth(credentials, SERVICE, region).add_auth(request)
    return dict(request.headers.items())


def region_of(model: Model) -> str | None:
    """The region that an address of AWS names, else the one that is declared.

    >>> place = "https://bedrock-runtime.eu-central-1.amazonaws.com"
    >>> region_of(Model(base_url=place, dialect="bedrock", region="elsewhere"))
    'eu-central-1'
    """
    found = _REGION.search(urlsplit(model.base_url).hostname or "")
    return found[1] if found else model.region


def check(model: Model) -> None:
    """Hold a place against what signing needs; raises ValueError with the remedy."""
    if not model.secrets_env:
        return
    for word in sorted(REQUIRED - model.secrets_env.keys()):
        raise ValueError(f"secrets_env lacks {word}, which dialect bedrock signs with; name its variable")
    if model.api_key_env is not None:
        raise ValueError("api_key_env and secrets_env exclude each other: a request is signed or bears a key")
    if region_of(model) is None:
        raise ValueError("region is missing and base_url names none; say it, as in region: eu-central-1")


def _message(content: list[Json]) -> dict[str, Json]:
    """The message of a chat answer. Reasoning is shown beside the text; its signature has no place."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in content:
        _take(block if isinstance(block, dict) else {}, texts, thoughts, calls)
    message: dict[str, Json] = {
        "role": "assistant", "content": "".join(texts) if texts or not calls else None, "refusal": None,
    }  # fmt: skip
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    return message | ({"tool_calls": calls} if calls else {})


def _take(block: dict[str, Json], texts: list[str], thoughts: list[str], calls: list[Json]) -> None:
    thought, use = block.get("reasoningContent"), block.get("toolUse")
    if isinstance(block.get("text"), str):
        texts.append(block["text"])
    elif isinstance(thought, dict):
        said = thought.get("reasoningText")
        thoughts.append(str(said.get("text", "")) if isinstance(said, dict) else "")
    elif isinstance(use, dict):
        function = {"name": use.get("name"), "arguments": dump_arguments(use.get("input"))}
        calls.append({"id": use.get("toolUseId"), "type": "function", "function": function})
    else:
        kind = min(block, default="nothing")
        raise BrokenAnswer(f"the answer holds {kind[:40]!r}, which chat has no place for")


DIALECT = Dialect({"chat": Converse()}, REQUIRED | OPTIONAL, check=check)
