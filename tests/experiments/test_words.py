"""Durations, names, states and numbers: the small vocabulary of the floor."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from experiments.definition.duration import LONGEST_MS, DurationMs, parse, text
from experiments.definition.lifecycle import LIVE, ExperimentState, ended, may_move
from experiments.definition.names import ancestors, check_experiment, check_name, check_task
from experiments.report.numbers import number

DURATION = TypeAdapter(DurationMs)


@given(st.integers(0, LONGEST_MS))
def test_a_duration_is_read_as_it_is_written(duration_ms):
    """A window is stored as text; what cannot be read back would lose the experiment."""
    assert DURATION.validate_python(text(duration_ms)) == duration_ms
    assert DURATION.validate_json(DURATION.dump_json(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    ("words", "duration_ms"),
    [("500ms", 500), ("1.5s", 1_500), (" 15 m", 900_000), ("24h", 86_400_000), ("7d", 604_800_000)],
)
def test_durations_are_a_number_and_a_unit(words, duration_ms):
    """As people write them."""
    assert parse(words) == duration_ms


@pytest.mark.parametrize(
    "words", ["24", "h", "-1h", "1e3s", "1 day", "1h30m", "", "1" * 40 + "d", "401d", 1.5, True]
)
def test_other_durations_are_refused(words):
    """No guessing of units."""
    with pytest.raises(ValidationError):
        DURATION.validate_python(words)


@pytest.mark.parametrize("name", ["gpt-4.1", "a", "Llama_3.1+x", "0", "x" * 64])
def test_a_name_is_a_word_that_fits_in_a_url(name):
    """Models, metrics, providers."""
    assert check_name(name) == name
    assert check_task(f"{name}/{name}") == f"{name}/{name}"


@pytest.mark.parametrize(
    "name", ["", "-a", "a b", "a/b", "a\n", "ä", "a\x00", "x" * 65, "{a}", "=1+1", "../a", "<b>"]
)
def test_what_would_break_a_page_a_path_or_a_sheet_is_no_name(name):
    """Names are shown in HTML, CSV and logs."""
    with pytest.raises(ValueError, match="must be letters"):
        check_name(name)
    with pytest.raises(ValueError, match="experiment"):
        check_experiment(name)


@pytest.mark.parametrize("task", ["", "/", "a/", "/a", "a//b", "a/b/c/d/e/f"])
def test_a_task_is_one_to_five_words(task):
    """As in support/billing."""
    with pytest.raises(ValueError, match="one to five words"):
        check_task(task)


def test_only_successors_end_in_holdback():
    """Three generations at most."""
    assert check_experiment("cheaper~holdback~holdback~holdback")
    with pytest.raises(ValueError, match="experiment"):
        check_experiment("cheaper" + 4 * "~holdback")


def test_a_task_has_its_parents_as_ancestors():
    """Settings are inherited from the nearest first."""
    assert ancestors("a/b/c") == ["a/b/c", "a/b", "a"]


def test_nothing_leads_on_from_an_end():
    """A promoted experiment is never restarted: its cells are the frozen evidence."""
    for old in ExperimentState:
        assert ended(old) == (not any(may_move(old, new) for new in ExperimentState))
        assert not may_move(old, old)
        assert not may_move(old, ExperimentState.DRAFT)
    assert {state for state in ExperimentState if may_move(state, ExperimentState.PROMOTED)} == LIVE


@pytest.mark.parametrize(
    ("value", "shown"), [(1.5, 1.5), (0.0, 0.0), (inf, None), (-inf, None), (nan, None), (None, None)]
)
def test_documents_hold_finite_numbers_or_nothing(value, shown):
    """JSON has no infinity."""
    assert number(value) == shown
