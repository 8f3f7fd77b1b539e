"""Kept conversations: after an experiment's end an open conversation keeps its model until it is idle for a day.

A model that changes in mid-conversation would have to read it all again, and would answer in another voice.
Kept requests are served outside every experiment and count nowhere. When a conversation spoke last before the
experiment's end nobody recorded, so it counts as open for a day after the end; from its first request after
that on each worker remembers it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from router.deciding.choose import Placement, RouteRequest
from router.deciding.decision_id import unit_digest
from router.deciding.snapshot import EndedRoute
from router.deciding.units import CAPACITY, HeldUnits, Key
from storage.records import Assignment

IDLE_MS = 86_400_000
"""Silence after which a conversation is over."""
LONGEST_MS = 30 * IDLE_MS
"""Time after an experiment's end when the last of its conversations moves."""
_HINTED = ("override", "tier", "routed")


class _Open(NamedTuple):
    model: str | None
    """None for a conversation that the experiment never held."""
    last_at_ms: int


class Door(NamedTuple):
    """Where a request stands before its experiment: its placement, and who must be asked about the unit."""

    placement: Placement
    asked: tuple[tuple[Key, EndedRoute], ...] = ()


class KeptConversations:
    """A bounded memory of conversations of ended experiments, least recently used out first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._open: OrderedDict[Key, _Open] = OrderedDict()

    def at_door(self, placement: Placement, request: RouteRequest, now_ms: int, held: HeldUnits) -> Door:
        """The placement under the kept model, or the ended experiments that the store must be asked about."""
        unit = request.unit or request.session
        if not unit or placement.reason in _HINTED or placement.found.reason == "ancestor":
            return Door(placement)
        digest, asked = placement.digest if placement.unit else unit_digest(unit), []
        for ended in placement.route.ended:
            key = (ended.id, digest)
            known = self._open.get(key)
            if known is None and now_ms - ended.ended_at_ms < IDLE_MS:
                first = held.get(key, now_ms)
                if first is None:
                    asked.append((key, ended))
                    continue
                known = self.remember(key, ended, first, now_ms)
            if known is not None and known.model is not None and self._still_open(known, ended, now_ms):
                self._put(key, _Open(known.model, now_ms))
                return Door(kept(placement, known.model))
        return Door(placement, tuple(asked))

    def answered(
        self,
        door: Door,
        found: Mapping[Key, Assignment | None],
        now_ms: int,
    ) -> Placement:
        """The placement after the store's answer; who was not found is not asked about again."""
        for key, ended in door.asked:
            model = self.remember(key, ended, found.get(key), now_ms).model
            if model is not None:
                return kept(door.placement, model)
        return door.placement

    def remember(self, key: Key, ended: EndedRoute, first: Assignment | None, now_ms: int) -> _Open:
        """Note what the ended experiment held for a conversation; a dropped candidate keeps nobody."""
        model = None
        if first is not None and first.arm not in ended.dropped:
            model = ended.models[first.arm]
        known = _Open(model, now_ms)
        self._put(key, known)
        return known

    @staticmethod
    def _still_open(known: _Open, ended: EndedRoute, now_ms: int) -> bool:
        return now_ms - known.last_at_ms < IDLE_MS and now_ms - ended.ended_at_ms < LONGEST_MS

    def _put(self, key: Key, known: _Open) -> None:
        self._open[key] = known
        with suppress(KeyError):  # another thread may have put it out meanwhile
            self._open.move_to_end(key)
            if len(self._open) > self._capacity:
                self._open.popitem(last=False)


def kept(placement: Placement, model: str) -> Placement:
    """The same request, answered by the conversation's model outside every experiment."""
    return Placement(placement.route, placement.found, model, "kept", choices=placement.choices)
