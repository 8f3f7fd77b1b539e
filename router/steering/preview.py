"""Preview: what would become of a request now, without deciding, recording or counting anything."""

from dataclasses import dataclass
from secrets import token_bytes

from router.clock import machine_clock
from router.deciding.asking import asked_once
from router.deciding.choose import Decision, RouteRequest, choose
from router.deciding.decision_id import Signer, SigningKey
from router.deciding.explained import considered
from router.deciding.place import place
from router.deciding.policy import NO_ANSWERS
from router.deciding.snapshot import build_snapshot
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Preview:
    """A decision that nobody took, and everything that was considered; its id verifies nowhere."""

    decision: Decision
    considered: tuple[str, ...]


def preview(store: Store, request: RouteRequest, now_ms: int) -> Preview:
    """Decide as a server would, on the store's state; a classifier behind a URL is not asked, a policy is.

    Where requests are the units each preview draws its candidate anew. Raises InvalidRequest.
    """
    snapshot = build_snapshot(store.state())
    answers = asked_once(snapshot, request, machine_clock) if snapshot.asks_policies else NO_ANSWERS
    placement = place(snapshot, request, answers=answers)
    held = None
    if placement.experiment is not None and placement.unit:
        held = store.assignment(placement.experiment.id, placement.digest)
    number = (now_ms << 22) + int.from_bytes(token_bytes(2)) % (1 << 16)
    decision = choose(placement, number, Signer(SigningKey(0, token_bytes(32))), held)
    return Preview(decision, considered(snapshot, request, decision))
