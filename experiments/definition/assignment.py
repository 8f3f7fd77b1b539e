"""Assignment: which candidate a unit gets, as a pure function of salt, unit and frozen shares."""

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from struct import Struct

_SCALE = 2.0**-53
_FIRST = Struct(">Q")


def position(salt: str, unit: str) -> float:
    """Where a unit falls in [0, 1): uniform over units, independent between salts.

    The first 53 bits of SHA-256 over salt, 0x1f and unit; dividing 64 bits by 2**64 could give 1.0.

    >>> f"{int(position('salt', 'unit') * 2**53) << 11:016x}"[:13]
    '6451a2cdfa979'
    """
    digest = sha256(f"{salt}\x1f{unit}".encode("utf-8", "surrogatepass")).digest()
    (first,) = _FIRST.unpack_from(digest)
    result: float = (first >> 11) * _SCALE
    return result


def cumulative(shares: Sequence[float]) -> tuple[float, ...]:
    """Inner boundaries of the shares, one fewer than there are arms.

    From the last arm with a share on they are 1, which no position reaches: rounding of the sum must not
    open a gap for an arm of share zero.

    >>> cumulative((0.5, 0.25, 0.25)), cumulative((0.1, 0.2, 0.7, 0.0))
    ((0.5, 0.75), (0.1, 0.30000000000000004, 1.0))
    """
    last = max((arm for arm, share in enumerate(shares) if share > 0), default=0)
    return tuple(1.0 if arm >= last else total for arm, total in enumerate(accumulate(shares)))[:-1]


def arm_at(boundaries: Sequence[float], where: float) -> int:
    """The arm whose range holds `where`; an arm of share zero is never chosen.

    >>> arm_at((0.5, 0.75), 0.5)
    1
    """
    return bisect_right(boundaries, where)


def copying_arm(arms: Sequence[int], salt: str, number: int) -> int:
    """The arm that answers a copy of a request in mode shadow: each of `arms` of an equal part; 0 for none.

    >>> copying_arm((), "salt", 7), copying_arm((1,), "salt", 7)
    (0, 1)
    """
    if len(arms) < 2:
        return arms[0] if arms else 0
    return arms[int(position(salt + ":copy", str(number)) * len(arms))]
