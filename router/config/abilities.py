"""What a model can do: the part of its declaration that requests are held against before anything is decided.

What is not declared counts as given, so a configuration without abilities refuses nothing.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from experiments.definition.declared import Declared
from experiments.definition.names import Name

LatencyClass = Literal["interactive", "batch"]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]
Words = Annotated[tuple[Name, ...], Field(max_length=200)]


def plain_word(word: str) -> str:
    """A word as it is compared: in lower case, so that `EU` is `eu`."""
    return word.lower()


def plain_language(tag: str) -> str:
    """A language tag as it is compared.

    >>> plain_language("de_AT")
    'de-at'
    """
    return tag.lower().replace("_", "-")


Languages = Annotated[Words, AfterValidator(lambda tags: tuple(map(plain_language, tags)))]
PlainWords = Annotated[Words, AfterValidator(lambda words: tuple(map(plain_word, words)))]


class Abilities(Declared):
    """What a model can do; none of it is guessed."""

    context_tokens: Tokens | None = None
    """Longest input and answer together, in tokens."""
    max_output_tokens: Tokens | None = None
    """Longest answer, in tokens."""
    tools: bool | None = None
    """Whether it can call tools."""
    vision: bool | None = None
    """Whether it can look at images."""
    audio: bool | None = None
    """Whether it can listen or speak."""
    json_mode: bool | None = None
    """Whether it can be held to JSON or a schema."""
    latency: LatencyClass | None = None
    """The only class of requests that it serves; by default both."""
    languages: Languages | None = None
    """Languages that it masters, as `de` or `pt-BR`."""
    domains: PlainWords | None = None
    """Subjects that it knows, as `law`."""
    skills: PlainWords | None = None
    """What it is good at, as `code`."""
    residency: PlainWords | None = None
    """Where it keeps data, as `eu`."""
    tags: PlainWords | None = None
    """Further words that requests may ask for."""

    @field_validator("languages", "domains", "skills", "residency", "tags", mode="before")
    @classmethod
    def _word_list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value
