"""Who may act: fencing of the planner's lease and the numbers of worker processes, the same for every store."""

from collections.abc import Iterable
from typing import NamedTuple

from storage.errors import LeaseLost, StoreUnavailable
from storage.records import Lease

WORKERS = 64
"""Worker numbers fit the six bits that a decision number has for them."""


class WorkerClaim(NamedTuple):
    """One worker number and who has it until when."""

    number: int
    holder: str
    expires_at_ms: int


def taken(stored: Lease | None, name: str, holder: str, now_ms: int, ttl_ms: int) -> Lease | None:
    """The lease after `holder` asked for it, or None while another holder's is valid.

    The token grows with each change of holder, so that whatever an earlier holder still sends is refused.
    """
    expires_at_ms = now_ms + ttl_ms
    if stored is None:
        return Lease(name, holder, 1, expires_at_ms)
    if stored.holder == holder:
        return Lease(name, holder, stored.token, expires_at_ms)
    if now_ms < stored.expires_at_ms:
        return None
    return Lease(name, holder, stored.token + 1, expires_at_ms)


def released(stored: Lease | None, lease: Lease) -> Lease | None:
    """The lease without a holder, its token kept; None if `lease` is no longer the one in force."""
    if stored is None or (stored.holder, stored.token) != (lease.holder, lease.token):
        return None
    return Lease(stored.name, "", stored.token, 0)


def check(stored: Lease | None, lease: Lease, now_ms: int) -> None:
    """Raise LeaseLost unless `lease` is the newest of its name and not over at `now_ms`."""
    if stored is None or (stored.holder, stored.token) != (lease.holder, lease.token):
        newest = stored.token if stored else 0
        raise LeaseLost(
            f"lease {lease.name!r} with token {lease.token} was superseded (newest {newest}); take it anew"
        )
    if now_ms >= stored.expires_at_ms:
        late_ms = now_ms - stored.expires_at_ms
        raise LeaseLost(f"lease {lease.name!r} ended {late_ms} ms ago; take it anew and decide again")


def claimed(claims: Iterable[WorkerClaim], holder: str, now_ms: int, ttl_ms: int) -> WorkerClaim:
    """The claim that `holder` renews, or the lowest number that is free or over."""
    others: set[int] = set()
    for claim in claims:
        if claim.holder == holder:
            return WorkerClaim(claim.number, holder, now_ms + ttl_ms)
        if now_ms < claim.expires_at_ms:
            others.add(claim.number)
    for number in range(WORKERS):
        if number not in others:
            return WorkerClaim(number, holder, now_ms + ttl_ms)
    raise StoreUnavailable(f"all {WORKERS} worker numbers are taken; stop a worker or wait {ttl_ms} ms")
