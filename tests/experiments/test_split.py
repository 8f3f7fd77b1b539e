"""Splits: what is kept between looks changes no answer, and is bounded."""

import numpy as np
import pytest

from experiments.inference import split
from experiments.inference.sample_ratio import sample_ratio
from experiments.inference.sample_ratio_sequence import sample_ratio_sequence
from experiments.inference.split import check_split


def table(epochs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of three arms, and their shares."""
    shares = np.tile([0.5, 0.3, 0.2], (epochs, 1))
    return np.random.default_rng(seed).multinomial(200, shares), shares


@pytest.fixture(autouse=True)
def nothing_kept():
    """Each test begins with nothing kept, and leaves nothing."""
    split.forget()
    yield
    split.forget()


def test_looks_epoch_by_epoch_say_what_one_look_at_all_says(monkeypatch):
    """Kept answers are gone on with: the whole history is read once, then one epoch at a time."""
    read = list[int]()

    def counted(counts, shares):
        read.append(len(counts))
        return sample_ratio_sequence(counts, shares)

    monkeypatch.setattr(split, "sample_ratio_sequence", counted)
    seen, shares = table(40, 1)
    for epochs in range(1, 41):
        for _ in range(2):
            found = check_split(seen[:epochs], shares[:epochs])
        assert found.sequence == sample_ratio_sequence(seen[:epochs], shares[:epochs])
        assert found.classical == sample_ratio(seen[:epochs], shares[:epochs])
    assert read == [1]


@pytest.mark.parametrize("changed", [0, 20, 38, 39])
def test_a_count_that_changed_is_read_anew(changed):
    """An outcome that arrived late must not be hidden behind what was kept."""
    seen, shares = table(40, 2)
    check_split(seen[:39], shares[:39])
    check_split(seen, shares)
    seen[changed, 0] += 150
    found = check_split(seen, shares)
    assert found.sequence == sample_ratio_sequence(seen, shares)
    assert found.sequence.units == 40 * 200 + 150


def test_counts_are_kept_as_they_were_when_they_were_read():
    """Callers may write into their arrays afterwards."""
    seen, shares = table(10, 3)
    before = check_split(seen, shares).sequence
    as_they_were = seen.copy()
    seen[:] = 1
    assert check_split(as_they_were, shares).sequence == before
    assert check_split(seen, shares).sequence.units == 30


def test_what_is_kept_is_bounded(monkeypatch):
    """The answers asked for longest ago go first."""
    seen, shares = table(10, 4)
    monkeypatch.setattr(split, "KEPT_BYTES", 3 * (seen.nbytes + shares.nbytes))
    read = list[int]()

    def counted(counts, shares):
        read.append(int(counts[0, 0]))
        return sample_ratio_sequence(counts, shares)

    monkeypatch.setattr(split, "sample_ratio_sequence", counted)

    def look(first: int) -> None:
        seen[0, 0] = first
        check_split(seen, shares)

    for first in (1, 2, 3, 1, 4, 1, 3, 2):
        look(first)
    assert read == [1, 2, 3, 4, 2]


def test_tables_of_other_shapes_are_refused():
    """One row of shares for each row of counts."""
    seen, shares = table(10, 5)
    with pytest.raises(ValueError, match="must both be epochs by arms"):
        check_split(seen, shares[:9])
