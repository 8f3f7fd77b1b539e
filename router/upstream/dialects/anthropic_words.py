"""Words of Anthropic's answers that mean the same as words of the chat API: ends, and usage."""

from router.upstream.usage import Usage, checked_usage, count_in

_FINISHES = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length",
    "model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter",
}  # fmt: skip


def finish_of(stop_reason: object) -> str:
    """The chat API's finish_reason."""
    return _FINISHES.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def read_message_usage(value: object) -> Usage | None:
    """Usage of a message, or None if it is missing or cannot be true.

    There the input counts exclude what was read from and written to the cache; here they include it.

    >>> usage = read_message_usage({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5})
    >>> (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
    (100, 90, 5)
    """
    if (
        not isinstance(value, dict)
        or type(value.get("input_tokens")) is not int
        or "output_tokens" not in value
    ):
        return None
    fresh, read = count_in(value, "input_tokens"), count_in(value, "cache_read_input_tokens")
    written = count_in(value, "cache_creation_input_tokens")
    for_an_hour = min(count_in(value.get("cache_creation"), "ephemeral_1h_input_tokens"), written)
    tier = value.get("service_tier")
    service = tier if isinstance(tier, str) else ""
    return checked_usage(
        Usage(
            fresh + read + written, count_in(value, "output_tokens"), False, read, written - for_an_hour, for_an_hour,
            count_in(value.get("output_tokens_details"), "thinking_tokens"), service,
        )
    )  # fmt: skip
