"""Chat requests in Anthropic's words: what is translated, and what is refused rather than lost."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.model import Model
from router.errors import InvalidRequest
from router.upstream.chat import FORWARDED_FIELDS, read_chat
from router.upstream.dialects.anthropic import Messages
from router.upstream.exchange import Untranslatable

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
CLAUDE = Model(base_url="http://127.0.0.1:9/v1", dialect="anthropic")
DEEP = '{"a":' * 400 + "1" + "}" * 400
PNG = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {"name": "add", "description": "adds", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": FUNCTION}]


def sent(model: Model = CLAUDE, allowed: frozenset[str] = frozenset(), **fields: Any) -> dict[str, Any]:
    """The body that the upstream gets."""
    chat = read_chat(orjson.dumps({"model": "auto", "messages": HELLO, **fields}), (), True, allowed)
    body: dict[str, Any] = orjson.loads(Messages().body(chat, "claude-x", model))
    return body


def content(*messages: Any) -> Any:
    """The turns that messages become."""
    return sent(messages=list(messages))["messages"]


def test_a_plain_request_has_what_the_api_requires() -> None:
    """`max_tokens` must be there; the client's number goes before the configured one, that before the usual."""
    assert sent() == {
        "model": "claude-x", "max_tokens": 8_192,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    }  # fmt: skip
    long = CLAUDE.model_copy(update={"default_max_tokens": 500})
    assert sent(long)["max_tokens"] == 500
    assert sent(long, max_tokens=7)["max_tokens"] == 7
    assert sent(long, max_tokens=7, max_completion_tokens=9)["max_tokens"] == 9


def test_system_prompts_leave_the_turns() -> None:
    """The API knows no system turn; those of developers are the same thing."""
    body = sent(
        messages=[
            {"role": "system", "content": "be brief"},
            *HELLO,
            {"role": "developer", "content": "be kind"},
        ]
    )
    assert [block["text"] for block in body["system"]] == ["be brief", "be kind"]
    assert [turn["role"] for turn in body["messages"]] == ["user"]


def test_a_conversation_with_tools_goes_over_whole() -> None:
    """Calls, several results in one turn as the API wants them, and what the user says after them."""
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "add", "arguments": f'{{"a":{n}}}'}}
        for n in (1, 2)
    ]
    turns = content(
        *HELLO,
        {"role": "assistant", "content": "let me see", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "well?"},
    )
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == [
        {"type": "text", "text": "let me see"},
        {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
        {"type": "tool_use", "id": "call_2", "name": "add", "input": {"a": 2}},
    ]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "two"}]},
        {"type": "text", "text": "well?"},
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None), ("auto", None, {"type": "auto"}), ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}), (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "add"}}, True, {"type": "tool", "name": "add"}),
    ],
)  # fmt: skip
def test_tools_and_their_choice(choice: Any, parallel: bool | None, expected: Any) -> None:
    """Each way to ask for a tool has one there."""
    body = sent(tools=TOOLS, tool_choice=choice, parallel_tool_calls=parallel)
    assert body["tools"] == [{"name": "add", "description": "adds", "input_schema": {"type": "object"}}]
    assert body.get("tool_choice") == expected


def test_pictures_and_documents_go_as_data_or_url() -> None:
    """Both forms of an image, and a PDF; text that is empty is refused there and is left out."""
    parts = [
        {"type": "text", "text": ""}, {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": PNG}}, {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
    ]  # fmt: skip
    assert content({"role": "user", "content": parts})[0]["content"] == [
        {"type": "text", "text": "what is it?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
    ]


def test_settings_are_translated_and_hints_end_here() -> None:
    """Stop sequences, effort, schema, user and tier have words; a seed is a hint that no answer must follow."""
    schema = {"type": "object", "properties": {}}
    body = sent(
        stop="END", temperature=0.5, top_p=0.9, reasoning_effort="minimal", user="ada", service_tier="default", seed=7,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, n=1, logprobs=False,
        prompt_cache_key="k", verbosity="low", frequency_penalty=0,
    )  # fmt: skip
    del body["messages"]
    assert body == {
        "model": "claude-x", "max_tokens": 8_192, "stop_sequences": ["END"], "temperature": 0.5, "top_p": 0.9,
        "metadata": {"user_id": "ada"}, "service_tier": "standard_only",
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": schema}},
    }  # fmt: skip
    assert sent(stream=True)["stream"] is True
    assert "stream_options" not in sent(stream=True)


def test_the_operator_reaches_fields_that_only_this_api_has() -> None:
    """Thinking is no word of the chat API: the configuration sets it, or lets clients set it."""
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    model = CLAUDE.model_copy(update={"extra_body": {"thinking": thinking}, "allow_fields": ("top_k",)})
    body = sent(model, frozenset({"top_k", "other"}), top_k=5, other=1)
    assert (body["thinking"], body["top_k"]) == (thinking, 5)
    assert "other" not in body


def test_marks_of_the_prompt_cache_pass() -> None:
    """Clients that set them on messages, parts and tools pay a tenth for what the provider keeps."""
    mark = {"type": "ephemeral"}
    part = {"type": "text", "text": "long", "cache_control": mark}
    body = sent(
        messages=[{"role": "system", "content": [part]}, *HELLO], tools=[{**TOOLS[0], "cache_control": mark}]
    )
    assert body["system"][0] == part
    assert body["tools"][0]["cache_control"] == mark


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"n": 2}, "n has no counterpart"), ({"logprobs": True}, "logprobs"), ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"temperature": 1.5}, "temperature == 1.5, must be at most 1"), ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"), ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"functions": [FUNCTION]}, "functions"), ({"response_format": {"type": "json_object"}}, "json_schema"),
        ({"web_search_options": {}}, "web_search_options"), ({"prediction": {"type": "content"}}, "prediction"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "type function"), ({"service_tier": "flex"}, "flex"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"reasoning_effort": "odd"}, "odd"),
        ({"messages": [{"role": "system", "content": "x"}]}, "at least one message"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp:x"}}]}]}, "image"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "PDF"),
        ({"messages": [{"role": "function", "content": "x"}]}, "role 'function'"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": DEEP}}]}]}, "too deeply"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "[1]"}}]}]}, "JSON object"),
    ],
)  # fmt: skip
def test_what_has_no_words_there_is_refused_by_name(fields: dict[str, Any], says: str) -> None:
    """Silence would give an answer to another question than was asked."""
    with pytest.raises(Untranslatable, match=says):
        sent(**fields)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "text", "function", "name", "id", "url", "image_url", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.sampled_from(sorted(FORWARDED_FIELDS)), JSON)
def test_any_value_of_any_field_is_translated_or_refused(name: str, value: Any) -> None:
    """No request of a client ends as an error of ours."""
    try:
        body = sent(**{name: value})
    except (Untranslatable, InvalidRequest):
        return
    assert body["max_tokens"]
    assert body["messages"] or name == "messages"


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "tool_call_id"]), JSON), min_size=1
    )
)
def test_any_messages_are_translated_or_refused(messages: list[Any]) -> None:
    """The same for the deepest part of a request; neighbours never have one role."""
    try:
        turns = sent(messages=messages)["messages"]
    except (Untranslatable, InvalidRequest):
        return
    roles = [turn["role"] for turn in turns]
    assert all(left != right for left, right in pairwise(roles))
