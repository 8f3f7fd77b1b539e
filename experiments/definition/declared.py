"""What all declared parts share: frozen, strict models and the bounds of their numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0)]

WIDTHS = (1e-6, 1e9)
"""Ranges of a reward beyond which sums of squares lose their digits."""
FINEST = 1e-6
"""Smallest difference, in widths of its range, that some traffic can show."""


class Declared(BaseModel):
    """Base of everything read from a user's file or request: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, use_attribute_docstrings=True
    )
