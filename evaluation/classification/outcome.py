"""What judging found, as a document: the text, the JSON and the page are renderings of it."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

Number = float | None
"""None where there is nothing to compute it from."""


class Part(BaseModel):
    """Base of the document's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TaskPart(Part):
    """One task in scope."""

    task: str
    texts: int
    precision: Number
    """Of the likeliest task, without a threshold."""
    recall: float
    f1: float
    coverage: float
    """Share of its texts that are classified at the threshold."""
    accuracy_classified: Number


class ConfusionPart(Part):
    """Texts of one task that were taken for another."""

    labelled: str
    named: str
    texts: int
    classified: int
    """Of them, those that the threshold lets through."""


class BinPart(Part):
    """Texts of one tenth of confidence."""

    low: float
    texts: int
    confidence: float
    accuracy: float


class CurvePoint(Part):
    """One threshold."""

    threshold: float
    coverage: float
    error: float
    """Share of wrong tasks among the classified texts."""


class ScopePart(Part):
    """Texts that belong to no task the classifier knows."""

    texts: int
    to_default: float
    """Share that is left to the default, which is right."""
    recognised: float
    """Share that the classifier itself takes for out of scope, whatever the threshold."""
    taken_for: Mapping[str, int]
    """Tasks that the others were taken for."""


class Judgement(Part):
    """The whole document."""

    digest: str
    """Of the classifier."""
    threshold: float
    texts: int
    in_scope: int
    accuracy: Number
    """Share of right tasks when every text in scope is classified."""
    macro_f1: Number
    """Mean F1 of the tasks, without a threshold."""
    coverage: Number
    """Share of the texts in scope that are classified at the threshold."""
    accuracy_classified: Number
    """Share of right tasks among them."""
    wrong_of_all: Number
    """Wrongly classified texts at the threshold, as a share of all in scope."""
    calibration_error: Number
    """Expected calibration error over tenths of confidence."""
    bins: tuple[BinPart, ...]
    tasks: tuple[TaskPart, ...]
    confusions: tuple[ConfusionPart, ...]
    out_of_scope: ScopePart | None
    curve: tuple[CurvePoint, ...]
    """Risk against coverage, the highest threshold first."""
