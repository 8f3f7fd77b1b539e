"""The classifier: what names a task for a text that no rule knows."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from experiments.definition.declared import Declared
from router.classifying.trained_file import MAX_PACKED
from router.config.address import BaseUrl


class Classifier(Declared):
    """What names a task for a text that no rule knows: a trained file, or a server that is asked."""

    file: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    """File of `pointsman classify train`, beside the configuration; it travels into the ledger with it."""
    url: BaseUrl | None = None
    """Server that answers {"text": ...} with {"task": ..., "confidence": ...}."""
    threshold: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    """Confidence below which the default serves; by default as trained, and 0.6 for a server."""
    deadline_ms: Annotated[int, Field(ge=1, le=2_000)] | None = None
    """Longest wait for the server, 50 by default; what is not named by then is served by the default."""
    cache: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Answers of the server that each process remembers, 10,000 by default."""
    packed: Annotated[str, StringConstraints(max_length=MAX_PACKED)] | None = None
    """Content of the file, filled in when it is read; leave it out."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Classifier":
        if (self.file is None) == (self.url is None):
            raise ValueError("classifier needs either file or url")
        for name in ("deadline_ms", "cache"):
            if self.file is not None and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} belongs to a classifier with url; a file answers at once, remove it"
                )
        if self.url is not None and self.packed is not None:
            raise ValueError("packed is the content of a file; remove it")
        return self
