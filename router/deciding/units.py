"""Sticky units held in memory: the first assignment of each, so that most requests need no look-up."""

from collections import OrderedDict
from contextlib import suppress
from typing import NamedTuple

from storage.records import Assignment

CAPACITY = 100_000
CONFIRM_MS = 1_000
"""Age after which an own assignment is read back: by then it is written, or another worker's was first."""

Key = tuple[int, bytes]


class _Held(NamedTuple):
    assignment: Assignment
    trusted_until_ms: int


class HeldUnits:
    """A bounded cache of (experiment, unit digest) -> assignment, least recently used out first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._held: OrderedDict[Key, _Held] = OrderedDict()

    def get(self, key: Key, now_ms: int) -> Assignment | None:
        """The unit's assignment, or None where the store must be asked."""
        held = self._held.get(key)
        if held is None or now_ms > held.trusted_until_ms:
            return None
        with suppress(KeyError):  # another thread may have put it out meanwhile
            self._held.move_to_end(key)
        return held.assignment

    def confirm(self, key: Key, assignment: Assignment) -> None:
        """Remember what the store holds; it never changes."""
        self._put(key, _Held(assignment, 2**62))

    def propose(self, key: Key, assignment: Assignment, now_ms: int) -> None:
        """Remember an own assignment that the store has not confirmed yet."""
        self._put(key, _Held(assignment, now_ms + CONFIRM_MS))

    def _put(self, key: Key, held: _Held) -> None:
        self._held[key] = held
        self._held.move_to_end(key)
        if len(self._held) > self._capacity:
            self._held.popitem(last=False)
