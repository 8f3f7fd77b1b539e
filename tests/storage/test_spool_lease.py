"""The spool's lease: one process at a time works on batches, whatever ledger they belong to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import LeaseLost, StoreUnavailable
from storage.spool.spool import Spool
from storage.spool.workbench import Workbench

TTL_MS = 100


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[tuple[Spool, Spool]]:
    """One folder as two processes see it."""
    both = Spool(tmp_path / "spool"), Spool(tmp_path / "spool")
    yield both
    for spool in both:
        spool.close()


def token(spool: Spool, holder: str, now_ms: int) -> int | None:
    """Of the lease, if the holder gets it."""
    lease = spool.acquire_lease(holder, now_ms, TTL_MS)
    return None if lease is None else lease.token


def test_one_holder_at_a_time_and_each_new_one_has_a_greater_token(spools: tuple[Spool, Spool]) -> None:
    """A renewal keeps its token; what is over or given back goes to the next."""
    one, two = spools
    assert token(one, "a", 0) == 1
    assert token(two, "b", TTL_MS - 1) is None
    assert token(one, "a", TTL_MS - 1) == 1
    assert token(two, "b", 2 * TTL_MS - 2) is None
    assert token(two, "b", 2 * TTL_MS - 1) == 2
    one.release_lease("a")
    assert token(one, "a", 2 * TTL_MS) is None
    two.release_lease("b")
    assert token(one, "a", 2 * TTL_MS) == 3


def test_whoever_was_stopped_past_its_lease_changes_nothing(spools: tuple[Spool, Spool]) -> None:
    """Its token is older than the one that was given since; the new holder's work counts."""
    one, two = spools
    old = token(one, "a", 0)
    new = token(two, "b", TTL_MS)
    assert old is not None
    assert new is not None
    with pytest.raises(LeaseLost, match="token 1 was superseded"):
        Workbench(one, old).forget(0, 0)
    Workbench(two, new).forget(0, 0)


def test_a_folder_below_none_is_not_made(tmp_path: Path) -> None:
    """A typing error in its name should be seen, not filled with prompts."""
    with pytest.raises(StoreUnavailable, match="No such file or directory"):
        Spool(tmp_path / "absent" / "spool")
    assert not (tmp_path / "absent").exists()
