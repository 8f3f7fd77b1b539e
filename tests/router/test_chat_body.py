"""Chat requests: what is let in, what a choice may read, what is sent on."""

from typing import Any, get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from router.config.model import Model
from router.errors import InvalidRequest
from router.upstream.call import Call
from router.upstream.chat import ALLOWED_FIELDS, newest_user_text, read_chat
from router.upstream.hints import MAX_NAME_CHARACTERS

HELLO = [{"role": "user", "content": "hello"}]
PLAIN = Model(base_url="http://127.0.0.1:9/v1")


def read(headers: list[tuple[bytes, bytes]] | None = None, /, **fields: Any) -> Call:
    """Read a body of these fields."""
    return read_chat(orjson.dumps({"model": "auto", "messages": HELLO, **fields}), headers or [])


def refused_field(headers: list[tuple[bytes, bytes]] | None = None, /, **fields: Any) -> str | None:
    """The field that a refusal names."""
    with pytest.raises(InvalidRequest) as caught:
        read(headers, **fields)
    return caught.value.field


def test_the_allow_list_is_what_the_official_client_can_send() -> None:
    """A field that OpenAI adds shows up here; a field that we invent has no business in it."""
    assert get_type_hints(CompletionCreateParamsStreaming).keys() == ALLOWED_FIELDS


@pytest.mark.parametrize(
    "field",
    ["base_url", "api_base", "api_key", "provider", "headers", "extra_body", "fallbacks", "url", "Model", ""],
)
def test_an_unknown_field_is_refused_by_name(field: str) -> None:
    """Gateways were robbed through a forwarded `api_base`: what is not on the list does not pass."""
    assert refused_field(**{field: "http://169.254.169.254/"}) == field


def test_the_upstream_gets_its_own_name_of_the_model_and_what_was_sent() -> None:
    """Everything of the list passes unchanged, except what is ours."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    chat = read(tools=tools, temperature=0.25, user="ada", seed=7, metadata={"queue": "x"}, store=True)
    assert orjson.loads(chat.body_for("upstream/name", PLAIN)) == {
        "model": "upstream/name", "messages": HELLO, "tools": tools, "temperature": 0.25, "user": "ada", "seed": 7,
    }  # fmt: skip


def test_the_operators_fields_go_before_the_clients() -> None:
    """Two candidates may be one model with two settings, which no request can undo."""
    eager = PLAIN.model_copy(
        update={"extra_body": {"reasoning_effort": "high", "provider_option": {"x": [1]}}}
    )
    body = orjson.loads(read(reasoning_effort="low", seed=7).body_for("m", eager))
    assert body == {
        "model": "m", "messages": HELLO, "seed": 7, "reasoning_effort": "high", "provider_option": {"x": [1]},
    }  # fmt: skip


def test_a_further_field_reaches_only_the_models_that_allow_it() -> None:
    """Allowed by one model of the configuration, it is no error; the others would refuse it, and do not get it."""
    allowed = frozenset({"top_k", "min_p"})
    chat = read_chat(
        orjson.dumps({"model": "auto", "messages": HELLO, "top_k": 5, "min_p": 0.1}), (), True, allowed
    )
    some = PLAIN.model_copy(update={"allow_fields": ("top_k",)})
    assert orjson.loads(chat.body_for("m", some)) == {"model": "m", "messages": HELLO, "top_k": 5}
    assert orjson.loads(chat.body_for("m", PLAIN)) == {"model": "m", "messages": HELLO}
    with pytest.raises(InvalidRequest) as caught:
        read_chat(orjson.dumps({"model": "auto", "messages": HELLO, "top_p_k": 5}), (), True, allowed)
    assert caught.value.field == "top_p_k"


def test_a_stream_always_asks_for_usage_and_keeps_other_options() -> None:
    """Without usage there is no cost; whether the client sees it is another matter."""
    chat = read(stream=True, stream_options={"include_obfuscation": False})
    options = orjson.loads(chat.body_for("m", PLAIN))["stream_options"]
    assert options == {"include_obfuscation": False, "include_usage": True}
    assert (chat.stream, chat.wants_usage) == (True, False)
    assert read(stream=True, stream_options={"include_usage": True}).wants_usage
    assert "stream_options" not in orjson.loads(
        read(stream_options={"include_usage": True}).body_for("m", PLAIN)
    )


def test_model_names_a_task_a_model_or_neither() -> None:
    """The three ways to use the one field that every client has."""
    task, auto, pinned = read(model="task/support/billing"), read(model="auto"), read(model="gpt-4.1")
    assert (task.route.task, task.route.override) == ("support/billing", None)
    assert (auto.route.task, auto.route.override) == (None, None)
    assert (pinned.route.task, pinned.route.override) == (None, "gpt-4.1")


def test_a_header_goes_before_the_model_field_and_that_before_metadata() -> None:
    """Said twice, the more explicit place wins."""
    metadata = {"task": "low", "tier": "3", "session_id": "s-low"}
    assert read(metadata=metadata).route.task == "low"
    assert read(metadata=metadata, model="task/middle").route.task == "middle"
    headers = [
        (b"x-pointsman-task", b"high"), (b"x-pointsman-tier", b"1"), (b"x-session-id", b"s-high"),
        (b"x-pointsman-override", b"chosen"), (b"x-pointsman-unit", "Zoë".encode()), (b"accept", b"*/*"),
    ]  # fmt: skip
    route = read(headers, metadata=metadata, model="task/middle", user="ada").route
    assert (route.task, route.tier, route.session, route.override) == ("high", 1, "s-high", "chosen")
    assert (route.unit, route.user, route.metadata) == ("Zoë", "ada", metadata)
    low = read(metadata=metadata).route
    assert (low.tier, low.session) == (3, "s-low")


def test_empty_names_count_as_not_given() -> None:
    """A client that always sends the header with an empty value names no unit, not the unit ''."""
    route = read(
        [(b"x-pointsman-unit", b""), (b"x-session-id", b""), (b"x-pointsman-covariate", b"")],
        user="", metadata={"session_id": "", "covariate": ""},
    ).route  # fmt: skip
    assert (route.unit, route.session, route.user, route.covariate) == (None, None, None, None)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("messages", {"messages": []}), ("messages", {"messages": "hi"}), ("messages", {"messages": ["hi"]}),
        ("messages", {"messages": None}), ("model", {"model": None}), ("model", {"model": 4}), ("model", {"model": ""}),
        ("model", {"model": "task/"}), ("model", {"model": "task/a//b"}), ("model", {"model": "http://evil/"}),
        ("stream", {"stream": 1}), ("stream", {"stream": "true"}), ("stream_options", {"stream_options": []}),
        ("user", {"user": 7}), ("user", {"user": "x" * (MAX_NAME_CHARACTERS + 1)}),
        ("metadata", {"metadata": [1]}), ("metadata", {"metadata": {f"k{i}": "" for i in range(33)}}),
        ("metadata.queue", {"metadata": {"queue": 1}}), ("metadata.queue", {"metadata": {"queue": "x" * 513}}),
        ("metadata." + "k" * 64, {"metadata": {"k" * 65: ""}}), ("metadata.task", {"metadata": {"task": "a b"}}),
        ("metadata.tier", {"metadata": {"tier": "0"}}), ("metadata.tier", {"metadata": {"tier": "12"}}),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_field(field: str, fields: dict[str, Any]) -> None:
    """The caller reads what to mend."""
    assert refused_field(**fields) == field


@pytest.mark.parametrize(
    ("field", "headers"),
    [
        ("x-pointsman-task", [(b"x-pointsman-task", b"../x")]),
        ("x-pointsman-override", [(b"x-pointsman-override", b"a/b")]),
        ("x-pointsman-tier", [(b"x-pointsman-tier", b"\xd9\xa3")]),
        ("x-pointsman-unit", [(b"x-pointsman-unit", b"\xff\xfe")]),
        ("x-pointsman-unit", [(b"x-pointsman-unit", b"a"), (b"x-pointsman-unit", b"b")]),
        ("x-session-id", [(b"x-session-id", b"x" * (MAX_NAME_CHARACTERS + 1))]),
    ],
)
def test_a_bad_header_is_refused_with_its_name(field: str, headers: list[tuple[bytes, bytes]]) -> None:
    """A tier in Arabic digits, a unit that is no text and a header sent twice are all ambiguous."""
    assert refused_field(headers) == field


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"model":NaN}', b"[" * 100_000, b'{"a":' * 50_000,
     b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}'],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    """Hostile nesting, NaN and lone surrogates end as a 400 like any other nonsense."""
    with pytest.raises(InvalidRequest):
        read_chat(body)


def test_nesting_that_can_be_read_but_not_written_is_refused() -> None:
    """The JSON library reads 1024 levels and writes 254; in between the request must not become a 500."""
    nested = b'{"model":"auto","messages":[{"role":"user","content":' + b"[" * 500 + b"]" * 500 + b"}]}"
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        read_chat(nested)


def test_the_newest_user_message_is_what_rules_read() -> None:
    """An assistant's answer, or an older question, must not choose the task of the new one."""
    messages = [
        {"role": "user", "content": "old invoice"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "new"}, {"type": "image_url"}, {"text": "lines"}],
        },
        {"role": "assistant", "content": "refund"},
    ]
    assert newest_user_text(messages) == "new\nlines"
    assert read_chat(orjson.dumps({"model": "auto", "messages": messages})).route.text == "new\nlines"
    assert read_chat(orjson.dumps({"model": "auto", "messages": messages}), reads_text=False).route.text == ""


@given(st.dictionaries(st.text(max_size=20), st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False)
       | st.integers(-(2**53), 2**53) | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3)
       | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6), max_size=6),
       st.sampled_from(sorted(ALLOWED_FIELDS)), st.booleans())  # fmt: skip
def test_whatever_is_sent_is_either_refused_or_forwarded_within_the_list(
    fields: dict[str, Any], name: str, valid: bool
) -> None:
    """No value of any field raises anything but InvalidRequest, and nothing outside the list goes on."""
    base = {"model": "auto", "messages": HELLO} if valid else {}
    body = {**base, name: next(iter(fields.values())) if fields else None, **({} if valid else fields)}
    try:
        chat = read_chat(orjson.dumps(body))
    except InvalidRequest:
        return
    sent = orjson.loads(chat.body_for("m", PLAIN))
    assert sent.keys() <= ALLOWED_FIELDS
    assert sent["model"] == "m"
    assert not sent.keys() & {"metadata", "store"}
