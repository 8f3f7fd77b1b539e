"""Records: frozen where it is checked, cheap where it runs."""

from dataclasses import replace

from experiments.evidence.record import record


@record(frozen=True, slots=True)
class Point:
    """Any record."""

    x: int
    y: int = 0


def test_records_compare_hash_and_replace_by_value() -> None:
    """They stand in sets and in tests of equality as frozen dataclasses do."""
    assert Point(1) == Point(1, 0)
    assert len({Point(1), Point(1, 0), Point(2)}) == 2
    assert replace(Point(1), y=3) == Point(1, 3)
    assert not hasattr(Point(1), "__dict__")
