"""Usage: reported, refused as nonsense, or estimated; and what it costs."""

import pytest

from router.config.prices import priced
from router.upstream.usage import (
    MAX_TOKENS,
    Usage,
    answer_characters,
    estimate_usage,
    read_usage,
    usage_fields,
)


@pytest.mark.parametrize(
    "value",
    [None, [], "12", {}, {"prompt_tokens": 1}, {"prompt_tokens": -1, "completion_tokens": 1},
     {"prompt_tokens": True, "completion_tokens": 1}, {"prompt_tokens": 1.5, "completion_tokens": 1},
     {"prompt_tokens": "1", "completion_tokens": 1}, {"prompt_tokens": None, "completion_tokens": 1},
     {"prompt_tokens": 1, "completion_tokens": MAX_TOKENS + 1}, {"prompt_tokens": 10**18, "completion_tokens": 1}],
)  # fmt: skip
def test_usage_that_cannot_be_true_counts_as_missing(value: object) -> None:
    """One absurd count in an experiment's cost would decide it."""
    assert read_usage(value) is None


def test_cost_is_tokens_times_list_price_and_unknown_without_one() -> None:
    """Known answer: 1,000 in at 3 $/M and 200 out at 15 $/M are 0.003 + 0.003 $; no price is not 0 $."""
    usage = read_usage({"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200})
    assert usage == Usage(1_000, 200)
    assert usage.cost_usd(priced(3.0, 15.0)) == pytest.approx(0.006)
    assert usage.cost_usd(None) is None


def test_an_estimate_counts_text_and_not_pictures() -> None:
    """A picture of ten megabytes is no two million tokens."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    messages = [
        {"role": "system", "content": "x" * 40},
        {"role": "user", "content": [{"type": "text", "text": "y" * 38}, image]},
        "nonsense",
    ]
    assert estimate_usage(messages, 9) == Usage(20 + 3 * 4, 3, estimated=True)


def test_all_that_a_model_writes_counts_as_output() -> None:
    """Text, reasoning, refusal and the arguments of tools are all billed."""
    part = {
        "content": "1234", "reasoning_content": "12", "refusal": "1", "function_call": {"name": "f", "arguments": "12"},
        "tool_calls": [{"function": {"name": "ab", "arguments": "123"}}, None, {"function": None}],
    }  # fmt: skip
    assert answer_characters(part) == 4 + 2 + 1 + 3 + 5
    assert [answer_characters(odd) for odd in (None, [], "x", {"content": 4}, {"tool_calls": 4})] == [0] * 5


def test_a_reply_says_when_its_usage_is_an_estimate() -> None:
    """Nobody may take a guess for a measurement; what the upstream says besides stays."""
    reported = {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"x": 1},
    }
    assert usage_fields(reported, Usage(3, 4), 0.5) == {**reported, "cost": 0.5}
    assert usage_fields({"prompt_tokens": -3}, Usage(3, 4, estimated=True), None) == {
        "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "estimated": True, "cost": None,
    }  # fmt: skip
