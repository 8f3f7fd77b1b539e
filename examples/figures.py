"""Measured figures of four models on eight subjects: what the simulated models imitate.

The numbers stand in figures.json with their source; see docs/demo.md.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

CONTROL = "jamba-1.5-large"
"""The dear incumbent."""
FILE = Path(__file__).with_name("figures.json")


class Part(BaseModel):
    """Base of the file's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(Part):
    """US dollars per million tokens."""

    input: float
    output: float


class ModelFigures(Part):
    """One model on one subject."""

    accuracy: float = Field(ge=0, le=1)
    output_tokens: float = Field(gt=0)
    """Mean length of an answer."""


class Subject(Part):
    """One subject and how the models did on it."""

    prompts: int
    """Questions that the figures rest on."""
    input_tokens: float
    """Mean length of a question with its options."""
    models: Mapping[str, ModelFigures]


class Figures(Part):
    """The whole file."""

    source: str
    prices_usd_per_mtok: Mapping[str, Price]
    subjects: Mapping[str, Subject]

    @property
    def models(self) -> tuple[str, ...]:
        """Every model, the control first."""
        return tuple(self.prices_usd_per_mtok)

    def cost_usd(self, subject: str, model: str) -> float:
        """Mean cost of one answer."""
        price, figures = self.prices_usd_per_mtok[model], self.subjects[subject]
        output_tokens = figures.models[model].output_tokens
        return (figures.input_tokens * price.input + output_tokens * price.output) / 1e6


def read_figures() -> Figures:
    """The shipped file."""
    return Figures.model_validate_json(FILE.read_bytes())
