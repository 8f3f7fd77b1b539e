"""A draft: what was understood of a foreign file, in our terms, before it is written as a configuration."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.definition.names import check_name

_ODD = re.compile(r"[^A-Za-z0-9._+-]+")
_ODD_IN_VARIABLE = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One place that serves a model."""

    provider: str
    dialect: str
    base_url: str
    key_env: str | None
    model: str
    price: Mapping[str, object] | None = None
    extra_body: Mapping[str, object] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    weight: float | None = None

    abilities: Mapping[str, object] = field(default_factory=dict)
    timeouts: Mapping[str, float] = field(default_factory=dict)

    def same_model(self, other: "Deployment") -> bool:
        """Whether both may stand as deployments of one model; prices may differ, but are known of both or of none."""
        return self._shared == other._shared

    @property
    def _shared(self) -> tuple[object, ...]:
        priced = self.price is not None
        return (self.provider, self.dialect, priced, self.extra_body, self.abilities, self.timeouts)


@dataclass(slots=True)
class TaskDraft:
    """One task, naming groups of deployments."""

    default: str
    fallbacks: list[str] = field(default_factory=list)
    fallbacks_on: dict[str, list[str]] = field(default_factory=dict)
    timeout_s: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    shares: Sequence[tuple[str, float]] = ()
    """Groups that share the task's traffic, with their parts."""


@dataclass(slots=True)
class Draft:
    """Groups of deployments, and what is routed to them."""

    groups: dict[str, list[Deployment]] = field(default_factory=dict)
    tasks: dict[str, TaskDraft] = field(default_factory=dict)
    default: str = ""
    fallbacks: list[str] = field(default_factory=list)
    timeout_s: float | None = None
    balance: str | None = None
    retries: int | None = None
    cooldown: dict[str, float] = field(default_factory=dict)


def name_of(text: str, taken: Mapping[str, object] | None = None) -> str:
    """A name of ours for a foreign one, another than those that are taken.

    >>> name_of("openai/gpt 4o"), name_of("a", {"a": 1})
    ('openai-gpt-4o', 'a-2')
    """
    plain = _ODD.sub("-", text).strip("._+-")[:60] or "model"
    name, count = plain, 1
    while taken and name in taken:
        count += 1
        name = f"{plain}-{count}"
    return check_name(name)


def variable_of(text: str) -> str:
    """A name for the environment variable that holds a key.

    >>> variable_of("openai-prod")
    'OPENAI_PROD_API_KEY'
    """
    plain = _ODD_IN_VARIABLE.sub("_", text).strip("_").upper()[:80] or "UPSTREAM"
    return f"{'_' if plain[0].isdigit() else ''}{plain.removesuffix('_API_KEY')}_API_KEY"
