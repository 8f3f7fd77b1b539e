"""The covariate: one number known about a unit before it is assigned, which comparisons may adjust for.

It comes with the request, so it cannot depend on the candidate; what the first request of a unit says counts.
"""

import re

from router.errors import InvalidRequest

LARGEST_COVARIATE = 1e9
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")


def check_covariate(value: object, field: str = "covariate") -> float | None:
    """A covariate from a JSON body or a caller's argument; raises InvalidRequest unless it is finite and in bounds.

    >>> check_covariate(3)
    3.0
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise _refused(repr(value)[:40], field)
    if not -LARGEST_COVARIATE <= value <= LARGEST_COVARIATE:  # a NaN is not within either
        raise _refused(f"{value:g}" if isinstance(value, float) else "a larger whole number", field)
    return float(value)


def read_covariate(text: str, field: str) -> float:
    """A covariate written as text, in a header or in metadata.

    >>> read_covariate("-2.5e1", "x-pointsman-covariate")
    -25.0
    """
    if not _NUMBER.fullmatch(text):
        raise _refused(repr(text[:40]), field)
    value = check_covariate(float(text), field)
    assert value is not None
    return value


def _refused(shown: str, field: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field} == {shown}, must be a finite number from {-LARGEST_COVARIATE:g} to {LARGEST_COVARIATE:g}; "
        "give it in another unit, or leave it out",
        field,
    )
