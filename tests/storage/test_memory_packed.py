"""Packed rows of the memory store: what goes in comes out."""

from hypothesis import given
from hypothesis import strategies as st

from experiments.evidence.units import UnitRow
from storage.memory.packed import Decisions, Log, Units
from storage.records import DecisionRow, FeedbackRow, FeedbackState
from storage.staging import LogEntry

NUMBERS = st.integers(0, 2**62)
SMALL = st.integers(0, 2**32 - 1)
ARMS = st.integers(0, 19)
DIGESTS = st.binary(min_size=16, max_size=16)
VALUES = st.floats(-1e9, 1e9, allow_nan=False)
TEXTS = st.sampled_from(["support/billing", "haiku", "experiment", "été", ""])
DECISIONS = st.builds(
    DecisionRow, NUMBERS, SMALL, SMALL, ARMS, DIGESTS, TEXTS, TEXTS, TEXTS, st.floats(0, 1), st.booleans(),
    st.none() | VALUES,
)  # fmt: skip
UNITS = st.builds(
    UnitRow, st.just(7), DIGESTS, SMALL, ARMS, NUMBERS, SMALL, SMALL, SMALL, SMALL, SMALL, VALUES, SMALL, SMALL, VALUES,
    NUMBERS, VALUES, st.just({}) | st.just({"thumbs": (2, 1.5)}),
)  # fmt: skip


@given(st.lists(DECISIONS, max_size=30, unique_by=lambda row: row.number), NUMBERS)
def test_decisions_come_out_as_they_went_in_and_are_found_by_number(
    rows: list[DecisionRow], other: int
) -> None:
    """In any order of arrival: a number that is there already must never be counted twice."""
    kept = Decisions()
    for row in rows:
        assert row.number not in kept
        kept.append(row)
        assert row.number in kept
    assert list(kept) == rows
    assert (other in kept) == (other in {row.number for row in rows})


@given(st.lists(UNITS, max_size=30))
def test_unit_rows_come_out_as_they_went_in(rows: list[UnitRow]) -> None:
    """A unit row is the state of its unit; the last one written is the one there is."""
    kept = Units(7)
    for row in rows:
        kept.put(row)
        assert kept.get(row.unit) == row
    assert list(kept) == list({row.unit: row for row in rows}.values())
    assert Units(7).get(bytes(16)) is None


@given(
    st.lists(
        st.tuples(
            NUMBERS, DIGESTS, TEXTS, VALUES, st.sampled_from(FeedbackState), st.none() | NUMBERS,
            st.none() | st.text(max_size=5), st.text(max_size=5),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_the_log_keeps_every_field_of_every_value(
    given_rows: list[tuple[int, bytes, str, float, FeedbackState, int | None, str | None, str]],
) -> None:
    """What was received is the record that people audit."""
    entries = [
        LogEntry(
            FeedbackRow(number, 3, 2, 1, unit, ((metric, value),), number >> 22, occurred, key, comment),
            metric, value, state,
        )
        for number, unit, metric, value, state, occurred, key, comment in given_rows
    ]  # fmt: skip
    log = Log()
    for entry in entries:
        log.append(entry)
    assert list(log) == entries
