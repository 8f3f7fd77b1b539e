"""Allowances: however many ask, all slices of one period together stay within the allowance."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.allowances import Allowance, given_out
from storage.sqlite.store import SqliteStore
from storage.store import Store

amounts = st.floats(0, 1e6)


def test_slices_add_up_to_the_allowance_and_not_beyond(store: Store) -> None:
    """Known answer: 40, 40 and the last 20 of 100; then nothing until the next period."""
    assert [store.take_allowance("model:big:rpm", 7, 40, 100) for _ in range(4)] == [40, 40, 20, 0]
    assert store.take_allowance("model:big:rpm", 8, 40, 100) == 40


def test_allowances_do_not_touch_each_other(store: Store) -> None:
    """Two models, or two limits of one, share nothing."""
    assert store.take_allowance("model:big:rpm", 1, 5, 5) == 5
    assert store.take_allowance("model:big:tpm", 1, 5, 5) == 5
    assert store.take_allowance("model:small:rpm", 1, 5, 5) == 5


def test_a_clock_that_is_behind_does_not_open_a_period_again(store: Store) -> None:
    """Two workers at the turn of a minute: the slower one takes from the new minute."""
    store.take_allowance("a", 8, 4, 5)
    assert [store.take_allowance("a", 7, 4, 5), store.take_allowance("a", 8, 4, 5)] == [1, 0]


def test_an_allowance_that_grows_gives_more(store: Store) -> None:
    """As a budget does that is spread over its day."""
    assert store.take_allowance("a", 1, 9, 4) == 4
    assert store.take_allowance("a", 1, 9, 6) == 2
    assert store.take_allowance("a", 1, 9, 3) == 0


@pytest.mark.parametrize(("wanted", "most"), [(-1.0, 5.0), (1.0, -5.0), (float("nan"), 5.0)])
def test_nonsense_is_refused(store: Store, wanted: float, most: float) -> None:
    """A negative slice would give back what was spent."""
    with pytest.raises(ValueError, match="at least 0"):
        store.take_allowance("a", 1, wanted, most)


def test_those_who_ask_at_once_share_one_allowance(new_store: Callable[[], Store]) -> None:
    """The very case that a shared counter is there for."""
    store = new_store()
    with ThreadPoolExecutor(8) as pool:
        slices = list(pool.map(lambda _: store.take_allowance("a", 1, 1, 30), range(80)))
    store.close()
    assert sum(slices) == 30


def take_in_child(path: Path, times: int) -> None:
    """One worker process that takes what it can get."""
    store = SqliteStore(path)
    taken = sum(store.take_allowance("a", 1, 1, 50) for _ in range(times))
    store.take_allowance(f"taken by {multiprocessing.current_process().name}", 1, taken, 1e9)
    store.close()


def test_two_processes_stay_within_one_allowance(path: Path) -> None:
    """Workers and nodes are processes: no lock in memory holds them apart."""
    SqliteStore(path).close()
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=take_in_child, args=(path, 40), name=str(n)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    store = SqliteStore(path)
    taken = [1e9 - store.take_allowance(f"taken by {n}", 1, 1e9, 1e9) for n in range(2)]
    store.close()
    assert sum(taken) == 50
    assert min(taken) > 0


@given(st.lists(st.tuples(st.integers(0, 3), amounts), max_size=30), amounts)
def test_no_order_of_requests_gives_out_more_than_there_is(
    asked: list[tuple[int, float]], most: float
) -> None:
    """The law, by period, whatever the clocks say."""
    stored: Allowance | None = None
    given_by_period: dict[int, float] = {}
    for period, wanted in asked:
        stored, slice_ = given_out(stored, period, wanted, most)
        assert 0 <= slice_ <= wanted
        given_by_period[stored.period] = given_by_period.get(stored.period, 0.0) + slice_
    assert all(total <= most * (1 + 1e-9) for total in given_by_period.values())
