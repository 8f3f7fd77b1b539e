"""Chat requests and answers in Gemini's words: what is translated, and what is refused rather than lost.

The shapes are those of `google.genai.types` (google-genai 3.6.1), whose models refuse unknown fields.
"""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.model import Model
from router.transport.transport import BrokenAnswer, Reply
from router.upstream.chat import FORWARDED_FIELDS, read_chat
from router.upstream.dialects.gemini import GeminiDecoder, GenerateContent
from router.upstream.exchange import Untranslatable
from tests.servers.gemini import candidate, failure, generated

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
GEMINI = Model(base_url="http://127.0.0.1:9/v1beta", dialect="gemini")
FUNCTION = {"name": "add", "description": "adds", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": FUNCTION}]
SPEAKS = GenerateContent()


def sent(model: Model = GEMINI, name: str = "gemini-3.5-flash", **fields: Any) -> dict[str, Any]:
    """The body that the upstream gets."""
    chat = read_chat(orjson.dumps({"model": "auto", "messages": HELLO, **fields}))
    body: dict[str, Any] = orjson.loads(SPEAKS.body(chat, name, model))
    return body


def parts(content: Any) -> Any:
    """The parts that a user's content becomes."""
    return sent(messages=[{"role": "user", "content": content}])["contents"][0]["parts"]


def test_settings_have_the_names_of_the_api() -> None:
    """The longest answer by whichever name, a stop word as a list."""
    asked = sent(
        temperature=1.5, top_p=0.5, seed=7, n=2, presence_penalty=0.1, frequency_penalty=0.2, stop="x", max_tokens=9,
        service_tier="flex",
    )  # fmt: skip
    assert asked["generationConfig"] == {
        "temperature": 1.5, "topP": 0.5, "seed": 7, "candidateCount": 2, "presencePenalty": 0.1,
        "frequencyPenalty": 0.2, "stopSequences": ["x"], "maxOutputTokens": 9,
    }  # fmt: skip
    assert asked["serviceTier"] == "flex"
    assert sent() == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def test_system_prompts_leave_the_turns_and_neighbours_are_one() -> None:
    """The API takes turns of user and model only."""
    talk = [
        {"role": "system", "content": "be brief"}, *HELLO, *HELLO, {"role": "assistant", "content": "hi"},
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
    ]  # fmt: skip
    body = sent(messages=talk)
    assert body["systemInstruction"] == {"parts": [{"text": "be brief"}, {"text": "be kind"}]}
    assert [(turn["role"], len(turn["parts"])) for turn in body["contents"]] == [("user", 2), ("model", 1)]


def test_images_files_and_sounds_are_sent_inline() -> None:
    """Data as it came; an image by address needs one that says what it is."""
    data = "data:image/png;base64,aGk="
    assert parts([
        {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": data}},
        {"type": "image_url", "image_url": {"url": "https://a.example/cat.JPG?x=1"}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}},
    ]) == [
        {"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.example/cat.JPG?x=1"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [{"type": "image_url", "image_url": {"url": "https://a.example/cat"}},
     {"type": "image_url", "image_url": {"url": "http://a.example/cat.png"}},
     {"type": "image_url", "image_url": {"url": "data:image/png,plain"}},
     {"type": "file", "file": {"file_id": "f-1"}}, {"type": "video_url"}, {"type": "text", "text": 5}, 7],
)  # fmt: skip
def test_content_without_a_counterpart_is_refused(part: Any) -> None:
    """Half a message would get an answer to another question."""
    with pytest.raises(Untranslatable):
        parts([{"type": "text", "text": "look"}, part])


@pytest.mark.parametrize(
    ("choice", "calling"),
    [("auto", {"mode": "AUTO"}), ("required", {"mode": "ANY"}), ("none", {"mode": "NONE"}),
     ({"type": "function", "function": {"name": "add"}}, {"mode": "ANY", "allowedFunctionNames": ["add"]})],
)  # fmt: skip
def test_the_choice_of_tools_is_a_mode(choice: Any, calling: dict[str, Any]) -> None:
    """Functions keep their JSON schema, whole."""
    body = sent(tools=TOOLS, tool_choice=choice)
    declared = {"name": "add", "description": "adds", "parametersJsonSchema": {"type": "object"}}
    assert body["tools"] == [{"functionDeclarations": [declared]}]
    assert body["toolConfig"] == {"functionCallingConfig": calling}


def test_strict_tools_are_held_to_their_schema() -> None:
    """There the mode says so for all of them."""
    strict = [{"type": "function", "function": {**FUNCTION, "strict": True}}]
    assert sent(tools=strict)["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert "toolConfig" not in sent(tools=TOOLS)


def test_calls_of_another_model_say_that_they_were_never_signed() -> None:
    """The turn before may have been another provider's; without this word the API refuses the conversation."""
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
        for number in (1, 2)
    ]
    results = [
        {"role": "tool", "tool_call_id": f"c{number}", "content": text}
        for number, text in ((1, "4"), (2, "x"))
    ]
    body = sent(messages=[*HELLO, {"role": "assistant", "content": "see", "tool_calls": calls}, *results])
    said = body["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in said] == [None, "skip_thought_signature_validator", None]
    assert [part["functionResponse"] for part in body["contents"][2]["parts"]] == [
        {"id": "c1", "name": "add", "response": {"output": 4}},
        {"id": "c2", "name": "add", "response": {"output": "x"}},
    ]


@pytest.mark.parametrize(
    "message",
    [{"role": "tool", "tool_call_id": "nobody", "content": "4"}, {"role": "function", "name": "add", "content": "4"},
     {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": "[]"}}]},
     {"role": "assistant", "tool_calls": [{"id": {}, "function": {"name": "add", "arguments": "{}"}}]},
     {"role": "assistant", "function_call": {"name": "add", "arguments": "{}"}}],
)  # fmt: skip
def test_turns_without_a_counterpart_are_refused(message: dict[str, Any]) -> None:
    """Results must name their function there, and arguments be objects."""
    with pytest.raises(Untranslatable):
        sent(messages=[*HELLO, message])


def test_formats_of_the_answer() -> None:
    """JSON of any shape, or by a schema."""
    schema = {"type": "object", "additionalProperties": False}
    by_schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert sent(response_format=by_schema)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert sent(response_format={"type": "json_object"})["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    assert "generationConfig" not in sent(response_format={"type": "text"})


@pytest.mark.parametrize(
    ("name", "effort", "thinking"),
    [("gemini-3.5-flash", "low", {"thinkingLevel": "LOW"}), ("gemini-2.5-flash", "low", {"thinkingBudget": 1_024}),
     ("gemini-2.5-flash", "none", {"thinkingBudget": 0}), ("tunedModels/mine", "high", {"thinkingLevel": "HIGH"})],
)  # fmt: skip
def test_effort_is_a_level_or_a_budget(name: str, effort: str, thinking: dict[str, Any]) -> None:
    """Models before Gemini 3 count tokens."""
    assert sent(name=name, reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == thinking


def test_the_operators_fields_go_before_the_clients_object_by_object() -> None:
    """One setting of the operator must not sweep away all of the client's."""
    model = GEMINI.model_copy(
        update={"extra_body": {"generationConfig": {"topK": 4, "temperature": 0}, "safetySettings": []}}
    )
    body = sent(model, temperature=1, max_tokens=9)
    assert body["generationConfig"] == {"temperature": 0, "maxOutputTokens": 9, "topK": 4}
    assert body["safetySettings"] == []


@given(st.sampled_from(sorted(FORWARDED_FIELDS - {"messages", "stream"})))
def test_no_field_of_the_chat_api_is_lost_in_silence(name: str) -> None:
    """Each changes the body, is refused, or is one of the hints that docs/dialects.md names."""
    hints = {
        "user", "safety_identifier", "verbosity", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "tool_choice",
    }  # fmt: skip
    value: Any = {
        "stop": "x", "tools": TOOLS, "reasoning_effort": "low", "service_tier": "flex",
        "response_format": {"type": "json_object"}, "parallel_tool_calls": False, "user": "ada",
    }.get(name, 2)  # fmt: skip
    try:
        changed = sent(**{name: value}) != sent()
    except Untranslatable as refused:
        changed = name in str(refused)
    assert changed or name in hints


def test_a_blocked_prompt_is_a_refusal() -> None:
    """The API answers 200 without any candidate; clients see the finish reason that they know."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    completion = SPEAKS.read(orjson.dumps(blocked), 0)
    message = completion.fields["choices"][0]["message"]
    assert (completion.finish, message["content"]) == ("content_filter", None)
    assert "SAFETY" in message["refusal"]
    assert completion.usage is not None
    assert completion.usage.output_tokens == 0
    (chunk,) = GeminiDecoder(0).feed(orjson.dumps(blocked))
    assert chunk["choices"][0]["finish_reason"] == "content_filter"


def test_thoughts_and_signatures_have_their_places() -> None:
    """Thoughts beside the text, as from other providers; signatures where Google's own chat API has them."""
    said = candidate({"text": "two and two", "thought": True}, {"text": "four", "thoughtSignature": "c2ln"})
    message = SPEAKS.read(orjson.dumps(generated(said)), 0).fields["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("four", "two and two")
    assert message["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    again = sent(messages=[*HELLO, message, *HELLO])["contents"][1]["parts"]
    assert again == [{"text": "four", "thoughtSignature": "c2ln"}]


def test_several_candidates_are_several_choices() -> None:
    """Each with its own calls; ids that the API leaves out are made, different in each answer."""
    call = {"functionCall": {"name": "add"}}
    told = generated(candidate({"text": "a"}), candidate(call, call, index=1))
    choices = SPEAKS.read(orjson.dumps(told), 0).fields["choices"]
    assert [(choice["index"], choice["finish_reason"]) for choice in choices] == [
        (0, "stop"),
        (1, "tool_calls"),
    ]
    assert [each["id"] for each in choices[1]["message"]["tool_calls"]] == ["call_resp-1_0", "call_resp-1_1"]
    decoder = GeminiDecoder(0)
    first = decoder.feed(orjson.dumps(generated(candidate(call, finish=None))))[0]["choices"][0]["delta"]
    second = decoder.feed(orjson.dumps(generated(candidate(call))))[0]["choices"][0]
    assert [first["tool_calls"][0]["index"], second["delta"]["tool_calls"][0]["index"]] == [0, 1]
    assert second["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "told",
    [{}, {"candidates": {}}, {"candidates": [5]}, generated(candidate({"text": "x"}, finish=None)),
     generated(candidate({"text": "x"}, finish="MALFORMED_FUNCTION_CALL")),
     generated(candidate({"inlineData": {"mimeType": "image/png", "data": "aGk="}})),
     generated(candidate({"functionCall": {"name": "add", "partialArgs": []}})),
     generated({"content": {"parts": [5]}, "finishReason": "STOP"}),
     generated({"content": {"parts": []}, "finishReason": ["STOP"]})],
)  # fmt: skip
def test_what_is_no_answer_is_broken(told: Any) -> None:
    """A fallback can still give one."""
    with pytest.raises(BrokenAnswer):
        SPEAKS.read(orjson.dumps(told), 0)


def test_usage_that_cannot_be_true_is_missing() -> None:
    """Then the cost is estimated, and said to be."""
    for wrong in ({"promptTokenCount": 5, "cachedContentTokenCount": 9}, {"promptTokenCount": -1}, {}, 5):
        completion = SPEAKS.read(orjson.dumps(generated(usageMetadata=wrong)), 0)
        assert (completion.usage, completion.characters) == (None, 4)


def test_a_bad_key_and_the_time_to_wait_are_read_from_the_body() -> None:
    """The API says 400 for the one and has no header for the other."""
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    bad = Reply(400, orjson.dumps(failure(400, "API key not valid.", "INVALID_ARGUMENT", reason)))
    assert SPEAKS.error(bad).status == 401
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}
    busy = SPEAKS.error(Reply(429, orjson.dumps([failure(429, "quota", "RESOURCE_EXHAUSTED", retry)])))
    assert (busy.status, busy.retry_after) == (429, "35")
    assert SPEAKS.error(Reply(502, b"<html>")) == Reply(502, b"<html>")
