"""Decision ids: what they carry, and that nobody else can make one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.deciding.decision_id import (
    ID_CHARACTERS,
    MAX_WORKERS,
    Numbers,
    Signer,
    SigningKey,
    request_unit,
    unit_digest,
)

SIGNER = Signer(SigningKey(7, b"s" * 32))
fields = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**63 - 1),
    st.booleans(),
)


@given(fields)
def test_an_id_says_what_was_signed(parts: tuple[int, int, int, bytes, int, bool]) -> None:
    """Feedback needs no look-up: everything is in the id, within 90 characters."""
    experiment, epoch, arm, unit, number, degraded = parts
    text = SIGNER.mint(experiment, epoch, arm, unit, number, degraded)
    found = SIGNER.verify(text)
    assert found is not None
    assert (found.experiment_id, found.epoch, found.arm, found.unit, found.number, found.degraded) == parts
    assert len(text) == ID_CHARACTERS < 90


@given(fields, st.integers(0, ID_CHARACTERS * 6 - 1))
def test_a_changed_bit_anywhere_is_refused(parts: tuple[int, int, int, bytes, int, bool], bit: int) -> None:
    """An edited arm, epoch or propensity would let anyone steer the bandit."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = SIGNER.mint(*parts)
    place, shift = divmod(bit, 6)
    changed = alphabet[alphabet.index(text[place]) ^ (1 << shift)]
    assert SIGNER.verify(text[:place] + changed + text[place + 1 :]) is None


@given(st.text(max_size=100))
def test_arbitrary_text_is_refused_without_an_error(text: str) -> None:
    """Ids come from outside: anything may stand in their place."""
    assert SIGNER.verify(text) is None


def test_an_id_of_another_key_is_refused_and_a_rotated_key_still_verifies() -> None:
    """Rotation keeps old ids valid until the old key is taken away."""
    old, new = SigningKey(1, b"o" * 32), SigningKey(2, b"n" * 32)
    text = Signer(old).mint(1, 2, 3, bytes(16), 4)
    assert Signer(new).verify(text) is None
    assert Signer(old, new).verify(text) is not None
    assert Signer(SigningKey(1, b"x" * 32)).verify(text) is None


def test_a_key_shows_no_secret() -> None:
    """A repr may end up in a log."""
    assert "sss" not in repr(SigningKey(7, b"s" * 32))


def test_numbers_rise_when_the_clock_stands_or_steps_back_and_differ_between_workers() -> None:
    """They are the ledger's primary key: none may come twice."""
    times = iter([10, 10, 9, 5, 11] + [11] * 70_000)
    numbers = Numbers(3, lambda: next(times))
    made = [numbers.next() for _ in range(70_005)]
    assert made == sorted(set(made))
    other = Numbers(4, lambda: 10)
    assert other.next() not in made
    assert made[0] >> 22 == 10


def test_a_worker_number_out_of_range_is_refused() -> None:
    """Two workers with one number would write the same keys."""
    for worker in (-1, MAX_WORKERS):
        with pytest.raises(ValueError, match=f"worker == {worker}"):
            Numbers(worker, lambda: 0)


def test_units_of_requests_append_in_order() -> None:
    """Their rows are written in the order of the decision numbers."""
    assert sorted(map(request_unit, range(1, 500))) == [request_unit(number) for number in range(1, 500)]
    assert len(unit_digest("u")) == len(request_unit(1)) == 16
    assert unit_digest("u") != unit_digest("v")
