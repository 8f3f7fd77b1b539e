"""The configuration document: models, tasks, the default and experiments, as one reviewable file.

Only shapes and single values are checked here; `router.config.checks` holds names against each other.
Secrets never stand in it: a model names the environment variable that holds its key.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, field_validator, model_validator

from experiments.definition.declared import Declared
from experiments.definition.experiment import Experiment
from experiments.definition.names import ExperimentName, Name, TaskName
from router.classifying.trained_file import MAX_PACKED
from router.config.abilities import Abilities
from router.config.availability import (
    Balance,
    Budget,
    Cooldown,
    FallbacksOn,
    Limits,
    Retries,
    Seconds,
    Timeouts,
)
from router.config.conditions import MAX_ROUTES, Rule

Usd = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
MAX_MODELS, MAX_TASKS, MAX_EXPERIMENTS = 500, 2_000, 2_000
DialectName = Literal["openai", "anthropic"]
HANDED_OFF = "A person will take this over and answer you."
TierText = Annotated[str, StringConstraints(pattern=r"^[1-9]$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
OWN_BODY_FIELDS = frozenset({"model", "messages", "input", "stream", "stream_options", "metadata", "store"})
"""Fields of a body that follow from the request and the routing."""
CLIENT_OPTIONS = frozenset({
    "api_base", "api_key", "api_version", "authorization", "base_url", "custom_llm_provider", "extra_body",
    "extra_headers", "extra_query", "fallbacks", "headers", "organization", "provider", "url",
})  # fmt: skip
"""Options through which gateways behind this one were made to call other places."""


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


class PriceTier(Declared):
    """Prices of calls with a longer context, in US dollars per million tokens; they hold for the whole call."""

    above_input_tokens: Annotated[int, Field(gt=0, le=100_000_000)]
    """The tier applies to calls of more input tokens than this."""
    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None


class Price(Declared):
    """List price of one model in US dollars per million tokens."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    """Input tokens read from the provider's prompt cache; by default as `input`."""
    cache_write: Usd | None = None
    """Input tokens written to the provider's prompt cache; by default as `input`."""
    cache_write_1h: Usd | None = None
    """The same, to be kept for an hour; by default as `cache_write`."""
    reasoning: Usd | None = None
    """Output tokens spent on reasoning; by default as `output`."""
    batch_discount: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    """Share of the price that is let off for answers billed as batch or flex work."""
    tiers: Annotated[tuple[PriceTier, ...], Field(max_length=10)] = ()
    """Prices of calls with a longer context, the shortest first."""

    @field_validator("tiers", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _tiers_fit(self) -> "Price":
        bounds = [tier.above_input_tokens for tier in self.tiers]
        if any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(f"tiers must rise in above_input_tokens, not {bounds}; put the shortest first")
        for kind in ("cached_input", "cache_write", "cache_write_1h", "reasoning"):
            if any((getattr(tier, kind) is None) != (getattr(self, kind) is None) for tier in self.tiers):
                raise ValueError(
                    f"{kind} is priced in some tiers only; state it in all of them, the base included"
                )
        return self


class Deployment(Declared):
    """One place that serves a model; what it leaves out is taken from the model."""

    base_url: BaseUrl | None = None
    """Root of the upstream's API, by default the model's."""
    api_key_env: EnvironmentName | None = None
    """Environment variable that holds its key, by default the model's."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Name that the upstream knows the model by, by default the model's."""
    weight: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0
    """Its part of the traffic, against the weights of the others."""
    region: Name | None = None
    """Where it stands; it names the deployment in trails and logs."""
    price: Price | None = None
    """Price of this deployment, by default the model's."""
    limits: Limits | None = None
    """Most that is sent to it."""


class Model(Abilities):
    """One model at one upstream."""

    kind: Literal["model", "human"] = "model"
    """`human` hands the request to people through a webhook, which `base_url` names."""
    cost_usd: Usd | None = None
    """What one hand-off costs; kind `human` only."""
    reply: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] = HANDED_OFF
    """What the client is told where the webhook only took note; kind `human` only."""
    provider: Name = "openai"
    """Whose price list applies, when `price` is not given."""
    dialect: DialectName = "openai"
    """The API that the upstream speaks."""
    base_url: BaseUrl
    """Root of the upstream's API, with its version: `/chat/completions`, or `/messages`, is appended."""
    api_key_env: EnvironmentName | None = None
    """Environment variable that holds the upstream's key."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Name that the upstream knows it by; by default the name it has here."""
    tier: Annotated[int, Field(ge=1, le=9)] | None = None
    """Coarse class by price and power, 1 the smallest; requests may ask for one."""
    price: Price | None = None
    """Overrides the bundled price list."""
    default_max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Longest answer where the client names none, for a dialect that must name one."""
    extra_body: Annotated[dict[FieldName, JsonValue], Field(max_length=50)] = Field(default_factory=dict)
    """Fields of every request body to the upstream; they go before the client's."""
    allow_fields: Annotated[tuple[FieldName, ...], Field(max_length=50)] = ()
    """Fields beyond the usual ones that clients may send to this model."""
    deployments: Annotated[tuple[Deployment, ...], Field(max_length=100)] = ()
    """Places that serve the same model; by default the one that `base_url` names."""
    balance: Balance = "weighted"
    """How requests are divided among deployments."""
    timeouts: Timeouts | None = None
    """Longest waits for this model."""
    limits: Limits | None = None
    """Most that is sent to the model, all deployments together."""

    @field_validator("allow_fields", "deployments", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="before")
    @classmethod
    def _place_of_first(cls, value: Any) -> Any:  # reason: raw input of any shape, validated by pydantic next
        """A model whose deployments say where they are needs no place of its own: it is that of the first."""
        if isinstance(value, dict) and "base_url" not in value and isinstance(value.get("deployments"), list | tuple):
            first = next(iter(value["deployments"]), None)
            place = first.get("base_url") if isinstance(first, dict) else getattr(first, "base_url", None)
            if place is not None:
                return {**value, "base_url": place}
        return value

    @field_validator("extra_body", "allow_fields")
    @classmethod
    def _not_ours(cls, value: Iterable[str]) -> Iterable[str]:
        for name in value:
            if name in OWN_BODY_FIELDS:
                raise ValueError(f"field {name!r} is set by the gateway itself; leave it out")
            if name in CLIENT_OPTIONS:
                raise ValueError(f"field {name!r} would let a request name a place or a key; leave it out")
        return value

    @model_validator(mode="after")
    def _kind_uses(self) -> "Model":
        if self.kind == "model":
            for name in ("cost_usd", "reply"):
                if name in self.model_fields_set and getattr(self, name) not in (None, HANDED_OFF):
                    raise ValueError(f"{name} is for kind human; a model's price is stated under price")
            return self
        if self.cost_usd is None:
            raise ValueError("cost_usd is missing: what one hand-off to a person costs, 0 if it costs nothing")
        unused = ("price", "extra_body", "allow_fields", "default_max_tokens", "deployments", "model")
        stated = [name for name in unused if getattr(self, name)]
        if stated or self.dialect != "openai":
            raise ValueError(f"{(stated or ['dialect'])[0]} is for models; a webhook of kind human has none")
        return self

    @model_validator(mode="after")
    def _dialect_uses(self) -> "Model":
        if self.default_max_tokens is not None and self.dialect != "anthropic":
            raise ValueError(
                "default_max_tokens is for dialect anthropic; set max_completion_tokens in extra_body"
            )
        return self


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
    retries: Retries | None = None
    """Further attempts at a model that failed, before the next one is tried."""
    timeouts: Timeouts | None = None
    """Longest waits for any model."""
    fallbacks_on: FallbacksOn | None = None
    """Models tried instead of `fallbacks`, by what went wrong."""
    budget: Budget | None = None
    """Money that the task may spend."""
    match: Match | None = None

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_total(self) -> "Task":
        if self.timeout_s is not None and self.timeouts is not None and self.timeouts.total_s is not None:
            raise ValueError("timeouts.total_s is the same as timeout_s; state one of them")
        return self

    @property
    def total_s(self) -> float | None:
        """Total time for all attempts, whichever way it is stated."""
        return self.timeouts.total_s if self.timeout_s is None and self.timeouts is not None else self.timeout_s


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
                raise ValueError(f"{name} belongs to a classifier with url; a file answers at once, remove it")
        if self.url is not None and self.packed is not None:
            raise ValueError("packed is the content of a file; remove it")
        return self


class Document(Declared):
    """A whole configuration file."""

    models: dict[Name, Model] = Field(min_length=1, max_length=MAX_MODELS)
    default: Name
    """Model of requests whose task is unknown."""
    fallbacks: tuple[Name, ...] = ()
    """Fallbacks of tasks that declare none."""
    timeout_s: Seconds = 120.0
    retries: Retries = 1
    """Retries of tasks that declare none."""
    cooldown: Cooldown = Cooldown()
    """When an upstream that fails is left alone."""
    tasks: dict[TaskName, Task] = Field(default_factory=dict, max_length=MAX_TASKS)
    classifier: Classifier | None = None
    """Names the task of texts that no rule knows."""
    routes: Annotated[tuple[Rule, ...], Field(max_length=MAX_ROUTES)] = ()
    """Conditional routes, the first that fits counts."""
    mix: dict[TierText, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] = Field(default_factory=dict)
    """Expected share of the decisions of each tier."""
    experiments: dict[ExperimentName, Experiment] = Field(default_factory=dict, max_length=MAX_EXPERIMENTS)

    @model_validator(mode="after")
    def _mix_is_whole(self) -> "Document":
        total = sum(self.mix.values())
        if self.mix and abs(total - 1) > 1e-6:
            raise ValueError(f"mix sums to {total:g}, must sum to 1")
        return self

    @field_validator("fallbacks", "routes", mode="before")
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
