"""Usage: how many tokens an answer took, reported by the upstream or estimated from sizes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from router.config.prices import ListPrice

MAX_TOKENS = 100_000_000
"""A reported count beyond this is taken for nonsense."""
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False

    def cost_usd(self, price: ListPrice | None) -> float | None:
        """Cost by list price; None where the price is unknown, which is not zero."""
        return None if price is None else price.cost_usd(self.input_tokens, self.output_tokens)


def read_usage(value: object) -> Usage | None:
    """The usage an upstream reports, or None if it is missing or cannot be true.

    >>> read_usage({"prompt_tokens": 12, "completion_tokens": 3})
    Usage(input_tokens=12, output_tokens=3, estimated=False)
    >>> read_usage({"prompt_tokens": 12, "completion_tokens": -1}) is None
    True
    """
    if not isinstance(value, dict):
        return None
    taken, given = value.get("prompt_tokens"), value.get("completion_tokens")
    if type(taken) is not int or type(given) is not int:  # `type is`: True is no count
        return None
    if not (0 <= taken <= MAX_TOKENS and 0 <= given <= MAX_TOKENS):
        return None
    return Usage(taken, given)


def estimate_usage(messages: Iterable[object], output_characters: int) -> Usage:
    """Usage guessed from the text's length, for an answer that ended without telling; images count nothing."""
    characters = messages_seen = 0
    for message in messages:
        messages_seen += 1
        characters += _text_length(message)
    input_tokens = _tokens(characters) + TOKENS_PER_MESSAGE * messages_seen
    return Usage(input_tokens, _tokens(output_characters), estimated=True)


def usage_fields(reported: object, usage: Usage, cost_usd: float | None) -> dict[str, object]:
    """The `usage` object of a reply: what the upstream said with our cost, or the estimate, named as one."""
    if not usage.estimated and isinstance(reported, dict):
        return {**reported, "cost": cost_usd}
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
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
