"""A model: where it is called, in which dialect, at which price, and what it can do."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from experiments.definition.declared import Declared
from experiments.definition.names import Name
from router.config.abilities import Abilities
from router.config.address import BaseUrl, EnvironmentName
from router.config.availability import (
    Balance,
    Limits,
    Timeouts,
)
from router.config.dialects import BUILT_IN, DialectName, load_dialect
from router.config.price import Price, Usd

HANDED_OFF = "A person will take this over and answer you."
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
OWN_BODY_FIELDS = frozenset({"model", "messages", "input", "stream", "stream_options", "metadata", "store"})
"""Fields of a body that follow from the request and the routing."""
CLIENT_OPTIONS = frozenset({
    "api_base", "api_key", "api_version", "authorization", "base_url", "custom_llm_provider", "extra_body",
    "extra_headers", "extra_query", "fallbacks", "headers", "organization", "provider", "url",
})  # fmt: skip
"""Options through which gateways behind this one were made to call other places."""


class Deployment(Declared):
    """One place that serves a model; what it leaves out is taken from the model."""

    base_url: BaseUrl | None = None
    """Root of the upstream's API, by default the model's."""
    api_key_env: EnvironmentName | None = None
    """Environment variable that holds its key, by default the model's."""
    secrets_env: Annotated[dict[SecretName, EnvironmentName], Field(max_length=10)] = Field(
        default_factory=dict
    )
    """Environment variables of its further secrets, by default the model's."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Name that the upstream knows the model by, by default the model's."""
    weight: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0
    """Its part of the traffic, against the weights of the others."""
    region: Name | None = None
    """Where it stands; it names the deployment in trails and logs, and goes before the model's `region`."""
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
    secrets_env: Annotated[dict[SecretName, EnvironmentName], Field(max_length=10)] = Field(
        default_factory=dict
    )
    """Environment variables of the secrets that a dialect takes instead of a key, by the dialect's words."""
    region: Name | None = None
    """Region of the upstream, for a dialect whose requests must name it, where `base_url` does not."""
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
    batch: bool = False
    """Whether lines of batches go to the upstream's own batch API."""

    @field_validator("allow_fields", "deployments", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="before")
    @classmethod
    def _place_of_first(cls, value: Any) -> Any:  # reason: raw input of any shape, validated by pydantic next
        """A model whose deployments say where they are needs no place of its own: it is that of the first."""
        if (
            isinstance(value, dict)
            and "base_url" not in value
            and isinstance(value.get("deployments"), list | tuple)
        ):
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
            raise ValueError(
                "cost_usd is missing: what one hand-off to a person costs, 0 if it costs nothing"
            )
        unused = (
            "price",
            "secrets_env",
            "region",
            "extra_body",
            "allow_fields",
            "default_max_tokens",
            "deployments",
            "model",
            "batch",
        )
        stated = [name for name in unused if getattr(self, name)]
        if stated or self.dialect != "openai":
            raise ValueError(f"{(stated or ['dialect'])[0]} is for models; a webhook of kind human has none")
        return self

    @model_validator(mode="after")
    def _dialect_uses(self) -> "Model":
        further = None if self.dialect in BUILT_IN else load_dialect(self.dialect)
        needs_length = self.dialect == "anthropic" if further is None else further.needs_length
        if self.default_max_tokens is not None and not needs_length:
            raise ValueError(
                "default_max_tokens is for dialect anthropic, and others whose API must be told a length; "
                f"for dialect {self.dialect} set it in extra_body"
            )
        if self.batch and further is not None:
            raise ValueError(f"batch is for dialects openai and anthropic, not {self.dialect}; leave it out")
        if self.region is not None and further is None:
            raise ValueError(f"region is not for dialect {self.dialect}; leave it out")
        words = frozenset[str]() if further is None else further.secrets
        for place in (self, *map(self.at, self.deployments)):
            for word in place.secrets_env.keys() - words:
                known = f"it takes {', '.join(sorted(words))}" if words else "it takes none; use api_key_env"
                raise ValueError(f"secrets_env names {word!r}, unknown to dialect {self.dialect}: {known}")
            if further is not None and further.check is not None:
                further.check(place)
        return self

    def at(self, deployment: Deployment) -> "Model":
        """The model as one deployment serves it; a key of its own goes before the model's secrets."""
        own = {
            field: value
            for field in ("base_url", "api_key_env", "secrets_env", "model", "price", "region")
            if (value := getattr(deployment, field))
        }
        if deployment.api_key_env and not deployment.secrets_env:
            own["secrets_env"] = {}
        elif deployment.secrets_env and not deployment.api_key_env:
            own["api_key_env"] = None
        return self.model_copy(update=own)
