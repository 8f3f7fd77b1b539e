"""A policy: what chooses one of several models for each request, and is tested as a model is."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from experiments.definition.declared import Declared
from experiments.definition.names import Name
from router.config.address import BaseUrl
from router.config.conditions import MetadataKey, When

MAX_CHOICES, MAX_RULES, MAX_POLICIES = 20, 200, 100


class PolicyRule(Declared):
    """One rule of a policy: for requests like these, this model."""

    when: When
    """What the request must say."""
    model: Name
    """Model that serves them, one of `chooses`."""


class Ask(Declared):
    """A server that says which model a request should get."""

    url: BaseUrl
    """It answers a request's task, text, needs and metadata with {"model": ..., "success": {...}}."""
    deadline_ms: Annotated[int, Field(ge=1, le=2_000)] = 50
    """Longest wait for it; what it has not answered by then is served by `otherwise`."""
    cache: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    """Answers that each process remembers."""
    metadata: Annotated[tuple[MetadataKey, ...], Field(max_length=20)] = ()
    """Metadata that it is told; by default none."""

    @field_validator("metadata", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class Policy(Declared):
    """What chooses a model for each request: rules, or a server that is asked."""

    chooses: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MAX_CHOICES)]
    """Models that it may choose, in the order in which they stand in for one that cannot serve a request."""
    otherwise: Name
    """Model where no rule fits, or no answer came in time; one of `chooses`."""
    rules: Annotated[tuple[PolicyRule, ...], Field(min_length=1, max_length=MAX_RULES)] | None = None
    """The first rule that fits names the model."""
    ask: Ask | None = None
    """Server that names the model."""
    description: Annotated[str, StringConstraints(max_length=500)] = ""
    """What it is, for whoever reads the report."""

    @field_validator("chooses", "rules", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _whole(self) -> "Policy":
        if (self.rules is None) == (self.ask is None):
            raise ValueError("a policy needs either rules or ask; state one of them")
        if len(set(self.chooses)) < len(self.chooses):
            raise ValueError("chooses names a model twice; name each once")
        shown = ", ".join(self.chooses)
        if self.otherwise not in self.chooses:
            raise ValueError(f"otherwise == {self.otherwise!r}, must be one of chooses: {shown}")
        for index, rule in enumerate(self.rules or ()):
            if rule.model not in self.chooses:
                raise ValueError(f"rules[{index}].model == {rule.model!r}, must be one of chooses: {shown}")
        return self
