"""Numbers for documents: JSON has no infinity, so what is not known is null."""

from math import isfinite


def number(value: float | None) -> float | None:
    """The value if it is finite, else None.

    >>> number(float("inf")) is None
    True
    """
    return value if value is not None and isfinite(value) else None
