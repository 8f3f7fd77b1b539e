"""Refusals: how a model, or its provider's filter, says that it will not answer."""

from collections.abc import Mapping
from typing import Any

from router.transport.transport import BrokenAnswer

FILTERED_END, DECLINED = "content_filter", "refusal"
REFUSALS = (FILTERED_END, DECLINED)
"""Ends of an answer by which it is refused: the chat API's word, and ours for a model that says so in its own words."""
_CODES = ("content_filter", "content_policy_violation", "moderation_blocked")


class StreamRefused(BrokenAnswer):
    """An error event ends the stream for its content; `error` is the upstream's."""

    def __init__(self, error: Mapping[str, Any]) -> None:  # reason: as the upstream wrote it
        super().__init__("the stream was ended for its content")
        self.error = error


def is_filtered(code: object) -> bool:
    """Whether an error's code says that the content was refused."""
    return isinstance(code, str) and code in _CODES


def check_error(error: object) -> None:
    """Raise StreamRefused if this is the error of a refusal."""
    if isinstance(error, dict) and is_filtered(error.get("code")):
        raise StreamRefused(error)


def declines(message: object) -> bool:
    """Whether a chat message is nothing but a refusal in the model's own words."""
    if not isinstance(message, dict) or not message.get("refusal"):
        return False
    return not any(message.get(field) for field in ("content", "tool_calls", "function_call", "audio"))


def says_something(delta: object) -> bool:
    """Whether a delta of a chat stream holds a part of an answer, and not only the role, or a refusal.

    >>> says_something({"role": "assistant", "content": ""}), says_something({"refusal": "No."})
    (False, False)
    >>> says_something({"content": "four"}), says_something({"tool_calls": [{}]})
    (True, True)
    """
    if not isinstance(delta, dict):
        return False
    return any(value for name, value in delta.items() if name not in ("role", "refusal"))
