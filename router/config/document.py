"""The configuration document: models, tasks, the default and experiments, as one reviewable file.

Only shapes and single values are checked here; `router.config.checks` holds names against each other.
Secrets never stand in it: a model names the environment variable that holds its key.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from experiments.definition.declared import Declared
from experiments.definition.experiment import Experiment
from experiments.definition.names import ExperimentName, Name, TaskName

Usd = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
MAX_MODELS, MAX_TASKS, MAX_EXPERIMENTS = 500, 2_000, 2_000


def _check_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError("base_url must start with http:// or https:// and name a host, without spaces")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "base_url must hold no user name, password, query or fragment; put the key into api_key_env"
        )
    if parts.port == 0:
        raise ValueError("base_url names port 0, must be 1 to 65535")
    return value.rstrip("/")


BaseUrl = Annotated[str, StringConstraints(max_length=500), AfterValidator(_check_base_url)]


class Price(Declared):
    """List price of one model in US dollars per million tokens."""

    input: Usd
    output: Usd


class Model(Declared):
    """One model at one OpenAI-compatible upstream."""

    provider: Name = "openai"
    """Whose price list applies, when `price` is not given."""
    base_url: BaseUrl
    """Root of the upstream's API, with its version: `/chat/completions` is appended."""
    api_key_env: EnvironmentName | None = None
    """Environment variable that holds the upstream's key."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Name that the upstream knows it by; by default the name it has here."""
    tier: Annotated[int, Field(ge=1, le=9)] | None = None
    """Coarse class by price and power, 1 the smallest; requests may ask for one."""
    price: Price | None = None
    """Overrides the bundled price list."""


class Match(Declared):
    """Rules that send a request without an explicit task here."""

    metadata: dict[Name, Annotated[str, StringConstraints(max_length=200)]] = Field(default_factory=dict)
    """Request metadata that must be equal, all of them."""
    keywords: tuple[Keyword, ...] = ()
    """Words or phrases, any of which the newest user message contains (whole words, any case)."""

    @field_validator("keywords", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _not_empty(self) -> "Match":
        if not self.metadata and not self.keywords:
            raise ValueError("match needs metadata or keywords; leave it out to match explicit tags only")
        return self


class Task(Declared):
    """Settings of one task; what is left out is taken from the nearest parent."""

    default: Name | None = None
    """Champion at the start; the store owns it afterwards."""
    fallbacks: tuple[Name, ...] | None = None
    """Models tried in this order when the decided one gives no answer."""
    timeout_s: Seconds | None = None
    """Total time for all attempts of one request."""
    match: Match | None = None

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class Document(Declared):
    """A whole configuration file."""

    models: dict[Name, Model] = Field(min_length=1, max_length=MAX_MODELS)
    default: Name
    """Model of requests whose task is unknown."""
    fallbacks: tuple[Name, ...] = ()
    """Fallbacks of tasks that declare none."""
    timeout_s: Seconds = 120.0
    tasks: dict[TaskName, Task] = Field(default_factory=dict, max_length=MAX_TASKS)
    experiments: dict[ExperimentName, Experiment] = Field(default_factory=dict, max_length=MAX_EXPERIMENTS)

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("experiments", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:  # reason: raw input of any shape, validated by pydantic next
        """Give each experiment the name it stands under."""
        if not isinstance(value, dict):
            return value
        return {
            name: {"name": name, **body} if isinstance(body, dict) else body for name, body in value.items()
        }
