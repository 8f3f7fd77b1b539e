"""Conditional routes: rules on what a request says of itself, as data that `apply` changes while traffic flows.

The grammar is closed: equal, one of, begins with, is there, above, below. No code, no regular expressions.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from experiments.definition.declared import Declared, Finite
from experiments.definition.names import Name, TaskName
from router.config.abilities import LatencyClass, plain_language, plain_word

Text = Annotated[str, StringConstraints(max_length=200)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Word = Annotated[Name, AfterValidator(plain_word)]
Tag = Annotated[Name, AfterValidator(plain_language)]
MAX_ROUTES = 500


class Condition(Declared):
    """What a text must be; all that is stated must hold."""

    eq: Text | None = None
    """Equal to this."""
    in_: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1_000)] | None = Field(None, alias="in")
    """One of these."""
    prefix: Text | None = None
    """Begins with this."""
    exists: bool | None = None
    """Whether it is there at all."""
    lt: Finite | None = None
    """A number below this."""
    gt: Finite | None = None
    """A number above this."""

    @field_validator("in_", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _states_something(self) -> "Condition":
        if not self.model_dump(exclude_none=True):
            raise ValueError("a condition needs one of eq, in, prefix, exists, lt, gt")
        if self.exists is False and len(self.model_dump(exclude_none=True)) > 1:
            raise ValueError("exists false excludes every other condition on the same text; leave them out")
        return self


class When(Declared):
    """What a request must say for a rule to hold: all of it."""

    metadata: Annotated[dict[MetadataKey, Condition], Field(max_length=20)] = Field(default_factory=dict)
    """Conditions on its metadata; a text in place of a condition means equal."""
    task: TaskName | None = None
    """Its task, or a parent of it; not in rules that name a task."""
    latency: LatencyClass | None = None
    """Its latency class."""
    language: Tag | None = None
    """Its language."""
    residency: Word | None = None
    """Where its data must stay."""
    domain: Word | None = None
    """Its subject."""
    tags: tuple[Word, ...] = ()
    """Tags that it must carry, all of them."""
    input_tokens: Condition | None = None
    """Conditions on its estimated input tokens, with `lt` and `gt`."""

    @field_validator("tags", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("metadata", mode="before")
    @classmethod
    def _equal(cls, value: Any) -> Any:  # reason: raw input of any shape, validated by pydantic next
        """Let a text stand for equality with it."""
        if not isinstance(value, Mapping):
            return value
        return {key: {"eq": each} if isinstance(each, str) else each for key, each in value.items()}

    @model_validator(mode="after")
    def _not_empty(self) -> "When":
        if not self.model_dump(exclude_defaults=True):
            raise ValueError("when states nothing; a rule for every request is the task's default")
        stated = self.input_tokens.model_dump(exclude_none=True) if self.input_tokens is not None else {}
        if not stated.keys() <= {"lt", "gt"}:
            raise ValueError("input_tokens is a number; use lt and gt")
        return self


class Rule(Declared):
    """One conditional route: for requests like these, this task, model or tier."""

    when: When
    """What the request must say."""
    task: TaskName | None = None
    """Task of such requests, unless they name one themselves."""
    model: Name | None = None
    """Model that serves them, outside experiments."""
    tier: Annotated[int, Field(ge=1, le=9)] | None = None
    """Tier that serves them, outside experiments."""

    @model_validator(mode="after")
    def _one_target(self) -> "Rule":
        named = [name for name in ("task", "model", "tier") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError("a route needs exactly one of task, model and tier")
        if self.task is not None and self.when.task is not None:
            raise ValueError("a route to a task cannot ask for one in when; state the other conditions")
        return self
