"""Decision ids: signed and self-contained, so that feedback needs no look-up.

    base64url(version, key id, flags, arm, experiment id, epoch, unit digest, decision number, MAC)

64 characters. The MAC is keyed BLAKE2b over all other bytes; a changed bit anywhere is refused.
The decision number is milliseconds << 22 | worker << 16 | sequence: it rises with time (until 2039 it
fits a signed 64-bit integer), and rows with it as primary key append in order.
"""

import hmac
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from experiments.evidence.record import record
from router.clock import Clock

_LAYOUT = Struct(">BBBBII16sQ")
_VERSION = 1
_MAC_BYTES = 12
_DEGRADED = 1
ID_CHARACTERS = (_LAYOUT.size + _MAC_BYTES) * 4 // 3
MAX_WORKERS = 64
_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_+/", b"+/!!")
"""Between the alphabets of base64; what the one of URLs does not have becomes what no alphabet has."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Secret that signs decision ids; `id` tells keys apart while they rotate."""

    id: int
    secret: bytes

    def __repr__(self) -> str:
        return f"SigningKey(id={self.id})"


@record(frozen=True, slots=True)
class DecisionId:
    """What an id says: which decision it was and under which shares. `experiment_id` 0 is outside any."""

    experiment_id: int
    epoch: int
    arm: int
    unit: bytes
    number: int
    degraded: bool = False

    @property
    def at_ms(self) -> int:
        """When the decision was taken."""
        return self.number >> 22


class Signer:
    """Mints and verifies ids; the newest key signs, every key verifies."""

    def __init__(self, *keys: SigningKey) -> None:
        if not keys:
            raise ValueError("a signer needs at least one key")
        self._newest = keys[-1]
        self._macs = {key.id: blake2b(key=key.secret, digest_size=_MAC_BYTES) for key in keys}

    def mint(
        self, experiment_id: int, epoch: int, arm: int, unit: bytes, number: int, degraded: bool = False
    ) -> str:
        """The signed id of one decision."""
        key_id = self._newest.id
        body = _LAYOUT.pack(
            _VERSION, key_id, _DEGRADED if degraded else 0, arm, experiment_id, epoch, unit, number
        )
        mac = self._macs[key_id].copy()
        mac.update(body)
        return b2a_base64(body + mac.digest(), newline=False).translate(_TO_URL).decode("ascii")

    def verify(self, text: str) -> DecisionId | None:
        """What the id says, or None if it is no id signed by one of the keys."""
        if len(text) != ID_CHARACTERS:
            return None
        try:
            raw = a2b_base64(text.encode("ascii").translate(_FROM_URL), strict_mode=True)
        except ValueError:
            return None
        if len(raw) != _LAYOUT.size + _MAC_BYTES or raw[0] != _VERSION:
            return None
        body, digest = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
        mac = self._macs.get(body[1])
        if mac is None:
            return None
        mac = mac.copy()
        mac.update(body)
        if not hmac.compare_digest(mac.digest(), digest):
            return None
        _, _, flags, arm, experiment_id, epoch, unit, number = _LAYOUT.unpack(body)
        return DecisionId(experiment_id, epoch, arm, unit, number, bool(flags & _DEGRADED))


def read_id(text: str) -> DecisionId | None:
    """What an id says of itself, signature unchecked: for looking a decision up, never for believing it."""
    try:
        raw = a2b_base64(text.encode("ascii").translate(_FROM_URL)) if len(text) == ID_CHARACTERS else b""
    except ValueError:
        return None
    if len(raw) != _LAYOUT.size + _MAC_BYTES or raw[0] != _VERSION:
        return None
    _, _, flags, arm, experiment_id, epoch, unit, number = _LAYOUT.unpack(raw[: _LAYOUT.size])
    return DecisionId(experiment_id, epoch, arm, unit, number, bool(flags & _DEGRADED))


def unit_digest(unit: str) -> bytes:
    """16 bytes that stand for a sticky unit in ids and in the ledger; names of units are not stored."""
    return blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def request_unit(number: int) -> bytes:
    """The unit of a request by itself: its decision number, so that unit rows append in order."""
    return number.to_bytes(16, "big")


class Numbers:
    """Decision numbers of one worker: rising even when the clock steps back, 65,536 within a millisecond."""

    def __init__(self, worker: int, clock: Clock) -> None:
        if not 0 <= worker < MAX_WORKERS:
            raise ValueError(f"worker == {worker}, must be in [0, {MAX_WORKERS})")
        self._worker = worker << 16
        self._clock = clock
        self._last_ms = 0
        self._sequence = 0

    def next(self) -> int:
        """The next number; a full millisecond borrows from the one after it."""
        now_ms = self._clock()
        if now_ms > self._last_ms:
            self._last_ms, self._sequence = now_ms, 0
        else:
            self._sequence += 1
            if self._sequence == 65_536:
                self._last_ms, self._sequence = self._last_ms + 1, 0
        return self._last_ms << 22 | self._worker | self._sequence
