"""What all parts of the report document share."""

from pydantic import BaseModel, ConfigDict

Number = float | None
"""A figure, or null while there is not enough data for it."""


class Part(BaseModel):
    """Base of the document's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
