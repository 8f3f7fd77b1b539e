"""Usage: reported, refused as nonsense, or estimated; and what it costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.prices import priced
from router.upstream.dialects.anthropic_words import read_message_usage
from router.upstream.dialects.chat_words import usage_object
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


def test_details_of_the_usage_are_read_and_priced() -> None:
    """Known answer at 3 / 0.3 / 3.75 in and 15 / 10 out per million: 20, 70 and 10 in, 12 and 8 out."""
    usage = read_usage(
        {
            "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 70, "cache_write_tokens": 10, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
        "default",
    )  # fmt: skip
    assert usage == Usage(100, 20, False, 70, 10, 0, 8, "default")
    price = priced(3.0, 15.0, cached_input=0.3, cache_write=3.75, reasoning=10.0)
    assert usage.cost_usd(price) == pytest.approx((20 * 3 + 70 * 0.3 + 10 * 3.75 + 12 * 15 + 8 * 10) / 1e6)


def test_reasoning_that_is_left_out_of_the_completion_is_billed_all_the_same() -> None:
    """Some providers count it only in the total: known answer 1,000 in, 50 shown, 450 thought."""
    usage = read_usage({"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_500})
    assert usage == Usage(1_000, 500)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [({"cached_tokens": 101}, {}), ({"cached_tokens": -1}, {}), ({"cached_tokens": True}, {}),
     ({"cached_tokens": 60, "cache_write_tokens": 41}, {}), ({}, {"reasoning_tokens": 21}),
     ({"cached_tokens": "60"}, {}), ({"cached_tokens": 1e300}, {})],
)  # fmt: skip
def test_details_that_contradict_the_whole_make_all_of_it_nonsense(inside: object, outside: object) -> None:
    """More cached than sent would be a negative cost of the rest."""
    counts = {"prompt_tokens": 100, "completion_tokens": 20}
    assert (
        read_usage({**counts, "prompt_tokens_details": inside, "completion_tokens_details": outside}) is None
    )


@given(
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
                         "cache_creation", "service_tier", "output_tokens_details"]),
        st.none() | st.integers(-5, 10**9) | st.text(max_size=3) | st.dictionaries(
            st.sampled_from(["ephemeral_1h_input_tokens", "thinking_tokens"]), st.integers(-5, 10**9)),
    )
)  # fmt: skip
def test_a_messages_usage_is_missing_or_possible(reported: dict[str, object]) -> None:
    """Whatever an upstream reports, no cost is negative and no part exceeds the whole."""
    usage = read_message_usage(reported)
    if usage is None:
        return
    cost = usage.cost_usd(priced(3.0, 15.0, cached_input=0.3, cache_write=3.75, cache_write_1h=6.0))
    assert cost is not None
    assert 0 <= cost <= (usage.input_tokens * 6 + usage.output_tokens * 15) / 1e6
    again = read_usage(usage_object(usage), usage.service)
    assert again == usage


def test_an_estimate_counts_text_and_not_pictures() -> None:
    """A picture of ten megabytes is no two million tokens."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    messages = [
        {"role": "system", "content": "x" * 40},
        {"role": "user", "content": [{"type": "text", "text": "y" * 38}, image]},
    ]
    assert estimate_usage(messages, 9) == Usage(20 + 2 * 4, 3, estimated=True)


def test_texts_and_tokens_to_embed_are_counted_as_they_are() -> None:
    """Four characters a token, and a token for a token."""
    assert estimate_usage(["x" * 40, [1, 2, 3]], 0) == Usage(13, 0, estimated=True)
    assert estimate_usage([None, 4, {"content": 4}], 0).input_tokens == 4


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
