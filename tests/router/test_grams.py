"""Grams: what a classifier sees of a text, in any language."""

# ruff: noqa: RUF001  # letters of other scripts are what is tested

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classifying.grams import HEAD, TAIL, grams

LETTERS = st.text(alphabet="abcdeföγд", min_size=1, max_size=8)


@given(st.lists(LETTERS, max_size=12), st.randoms(use_true_random=False))
def test_without_pairs_the_order_of_words_changes_nothing(words: list[str], draw: random.Random) -> None:
    """A bag of words is a bag: the law that single words and their pieces obey."""
    moved = words.copy()
    draw.shuffle(moved)
    assert grams(" ".join(words), pairs=False) == grams(" ".join(moved), pairs=False)


@given(st.text(max_size=80))
def test_a_text_twice_has_the_grams_of_once_and_at_most_one_pair_more(text: str) -> None:
    """Each gram counts once, so that a long paste does not drown the question."""
    once, twice = grams(text), grams(f"{text} {text}")
    assert once <= twice
    assert len(twice - once) <= 1


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("我想退款", "退款吗"),
        ("払い戻しをお願いします", "払い戻し"),
        ("ขอคืนเงินค่ะ", "คืนเงิน"),
        ("환불해 주세요", "환불 요청"),
        ("पैसे वापस चाहिए", "वापस"),
        ("хочу вернуть деньги", "ВЕРНУТЬ"),
        ("ＩＮＶＯＩＣＥ", "invoice"),
    ],
)
def test_texts_of_any_script_share_grams_with_what_they_contain(text: str, shared: str) -> None:
    """Whole sentences without spaces must not be one unknown word."""
    assert len(grams(text) & grams(shared)) >= 2


def test_numbers_are_alike_and_case_is_not_read() -> None:
    """An amount says that there is one, not which task it belongs to."""
    assert grams("Refund 1200") == grams("refund 7")


def test_only_the_beginning_and_the_end_of_a_long_text_are_read() -> None:
    """Work is bounded, and the question after a long paste still counts."""
    middle = " paste" * 100_000
    found = grams("summarise this" + middle + " in a poem")
    assert {"w summarise", "w poem", "w paste"} <= found
    assert "w hidden" not in grams("a " * HEAD + "hidden" + " b" * TAIL)


@given(st.text())
def test_any_text_has_bounded_grams(text: str) -> None:
    """Whatever a client sends: no error, and no gram longer than a file may hold."""
    assert all(0 < len(gram) <= 80 for gram in grams(text))
