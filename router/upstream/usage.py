"""Usage: how many tokens an answer took, reported by the upstream or estimated from sizes."""

from collections.abc import Iterable, Mapping
from typing import TypeGuard

from experiments.evidence.record import record
from router.config.prices import ListPrice

MAX_TOKENS = 100_000_000
"""A reported count beyond this is taken for nonsense."""
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


@record(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt. The cache counts are parts of the input, reasoning is part of the output."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False
    cached_tokens: int = 0
    """Read from the provider's prompt cache."""
    written_tokens: int = 0
    """Written to it."""
    written_1h_tokens: int = 0
    """Written to it for an hour."""
    reasoning_tokens: int = 0
    service: str = ""
    """Service tier that the answer names: some are billed at other rates."""

    def cost_usd(self, price: ListPrice | None) -> float | None:
        """Cost by list price; None where the price is unknown, which is not zero."""
        if price is None:
            return None
        return price.cost_usd(
            self.input_tokens, self.output_tokens, self.cached_tokens, self.written_tokens, self.written_1h_tokens,
            self.reasoning_tokens, self.service,
        )  # fmt: skip


def read_usage(value: object, service: object = None) -> Usage | None:
    """The usage of a chat answer, or None if it is missing or cannot be true.

    >>> usage = read_usage({"prompt_tokens": 12, "completion_tokens": 3})
    >>> (usage.input_tokens, usage.output_tokens)
    (12, 3)
    >>> read_usage({"prompt_tokens": 12, "completion_tokens": -1}) is None
    True
    """
    if not isinstance(value, dict):
        return None
    taken, given = value.get("prompt_tokens"), value.get("completion_tokens")
    if not (_is_count(taken) and _is_count(given)):
        return None
    total = value.get("total_tokens")
    if type(total) is int and taken + given < total <= 2 * MAX_TOKENS:
        given = total - taken  # some providers leave reasoning out of the completion, and bill it
    return _detailed(
        taken, given, value.get("prompt_tokens_details"), value.get("completion_tokens_details"), service
    )


def read_response_usage(value: object, service: object = None) -> Usage | None:
    """The same for an answer of the responses API."""
    if not isinstance(value, dict):
        return None
    taken, given = value.get("input_tokens"), value.get("output_tokens")
    if not (_is_count(taken) and _is_count(given)):
        return None
    return _detailed(
        taken, given, value.get("input_tokens_details"), value.get("output_tokens_details"), service
    )


def read_embedding_usage(value: object) -> Usage | None:
    """The same for embeddings, which have no output."""
    taken = value.get("prompt_tokens") if isinstance(value, dict) else None
    return Usage(taken, 0) if _is_count(taken) else None


def checked_usage(usage: Usage) -> Usage | None:
    """The usage, if its counts can be true together."""
    parts = usage.cached_tokens + usage.written_tokens + usage.written_1h_tokens
    whole = _is_count(usage.input_tokens) and _is_count(usage.output_tokens)
    return (
        usage
        if whole and parts <= usage.input_tokens and usage.reasoning_tokens <= usage.output_tokens
        else None
    )


def count_in(mapping: object, key: str) -> int:
    """A count that may be missing; nonsense becomes a count that no usage can hold."""
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if value is None:
        return 0
    return value if _is_count(value) else 2 * MAX_TOKENS


def _detailed(taken: int, given: int, inside: object, outside: object, service: object) -> Usage | None:
    """Usage with the parts that are priced apart; details that contradict the whole make all of it nonsense."""
    if inside is None and outside is None and service is None:
        return Usage(taken, given)
    written, for_an_hour = count_in(inside, "cache_write_tokens"), count_in(inside, "cache_write_1h_tokens")
    return checked_usage(
        Usage(
            taken, given, False, count_in(inside, "cached_tokens"), max(0, written - for_an_hour), for_an_hour,
            count_in(outside, "reasoning_tokens"), service if isinstance(service, str) else "",
        )
    )  # fmt: skip


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= MAX_TOKENS  # `type is`: True is no count


def estimate_usage(prompt: Iterable[object], output_characters: int) -> Usage:
    """Usage guessed from the length of messages or texts, for an answer that ended without telling.

    Images count nothing.
    """
    characters = messages = 0
    for message in prompt:
        messages += isinstance(message, dict)
        characters += _text_length(message)
    input_tokens = _tokens(characters) + TOKENS_PER_MESSAGE * messages
    return Usage(input_tokens, _tokens(output_characters), estimated=True)


def usage_fields(reported: object, usage: Usage, cost_usd: float | None) -> dict[str, object]:
    """The `usage` object of a chat reply: what the upstream said with our cost, or the estimate, named as one."""
    if not usage.estimated and isinstance(reported, dict):
        return {**reported, "cost": cost_usd}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "estimated": True,
        "cost": cost_usd,
    }


def response_usage_fields(reported: object, usage: Usage, cost_usd: float | None) -> dict[str, object]:
    """The same for the responses API, in its own names."""
    if not usage.estimated and isinstance(reported, dict):
        return {**reported, "cost": cost_usd}
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "estimated": True,
        "cost": cost_usd,
    }


def answer_characters(part: object) -> int:
    """Characters that a model wrote into one `message` or `delta`: text, reasoning, refusal, tool arguments."""
    if not isinstance(part, dict):
        return 0
    characters = 0
    for key in ("content", "reasoning_content", "reasoning", "refusal"):
        value = part.get(key)
        if isinstance(value, str):
            characters += len(value)
    calls = part.get("tool_calls")
    functions = (
        [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )
    for function in (*functions, part.get("function_call")):
        if isinstance(function, dict):
            characters += _length(function, "name") + _length(function, "arguments")
    return characters


def _text_length(message: object) -> int:
    if isinstance(message, str):
        return len(message)
    if isinstance(message, list):  # tokens
        return CHARACTERS_PER_TOKEN * len(message)
    if not isinstance(message, dict):
        return 0
    content = message.get("content")
    if isinstance(content, list):
        own = sum(_length(part, "text") for part in content if isinstance(part, dict))
        return own + answer_characters({**message, "content": None})
    return answer_characters(message)


def _length(mapping: Mapping[str, object], key: str) -> int:
    value = mapping.get(key)
    return len(value) if isinstance(value, str) else 0


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)
