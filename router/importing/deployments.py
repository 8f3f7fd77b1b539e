"""One deployment from what a foreign file says of it: place, key, and the model's name there.

A key that stands in the file in clear is never copied: the configuration names a variable, and a remark says which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from router.importing.draft import variable_of
from router.importing.source import Section
from router.importing.upstreams import OWN_SIGNATURES, KnownUpstream, known_upstream

FROM_ENVIRONMENT = ("os.environ/", "env.")
BODY_FIELDS = (
    "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty",
    "seed", "stop", "reasoning_effort", "service_tier", "logit_bias", "response_format", "verbosity",
)  # fmt: skip
"""Fields of a request that a gateway may preset for a model."""

_NO_KEYS = frozenset({"none", "empty", "no-key", "not-needed", "dummy"})
"""What people write where an upstream asks for no key."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment is and how its key is called."""

    upstream: KnownUpstream
    base_url: str
    key_env: str | None


@dataclass(slots=True)
class Keys:
    """Names of variables for keys that stand in clear: one for each different key."""

    given: Mapping[str, str] = field(default_factory=dict)
    """Values of variables that the caller told us, for addresses."""
    _names: dict[str, str] = field(default_factory=dict)

    def named(self, key: str, wanted: str) -> str:
        """A variable for this key; another key of the same provider gets another one."""
        name, count = wanted, 1
        while key not in self._names and name in self._names.values():
            count += 1
            name = f"{wanted}_{count}"
        return self._names.setdefault(key, name)


def place_of(entry: Section, provider: str, keys: Keys, url_key: str = "api_base") -> Place | None:
    """Where an entry's model is served; None, with a remark, where we cannot call it."""
    if provider in OWN_SIGNATURES:
        return _none(entry, f"{OWN_SIGNATURES[provider]}; put a proxy with a bearer key before it")
    upstream = known_upstream(provider)
    named = next((key for key in (url_key, "base_url") if entry.has(key)), None)
    base_url = _address(entry, named, keys) if named else None
    if named and base_url is None:
        return _none(entry, f"its address is not known ({named})")
    if upstream is None and base_url is None:
        return _none(
            entry, f"provider {provider!r} is not known to this importer and the file names no address"
        )
    upstream = upstream or KnownUpstream(provider, None, variable_of(provider))
    base_url = _with_version(entry, provider, upstream, base_url)
    if base_url is None:
        return _none(entry, f"provider {provider!r} has an address for each customer and the file names none")
    return Place(upstream, base_url, key_env(entry, upstream.key_env or "", keys) or upstream.key_env)


def key_env(entry: Section, usual: str, keys: Keys) -> str | None:
    """The variable that holds the key of an entry; None where the entry names no key."""
    key = entry.text("api_key")
    if key is None or key.lower() in _NO_KEYS:
        return None
    for prefix in FROM_ENVIRONMENT:
        if key.startswith(prefix):
            return key.removeprefix(prefix)
    name = keys.named(key, usual or "UPSTREAM_API_KEY")
    entry.remark(
        "api_key", f"stands in clear and was not copied; put it into the variable {name}, and change it"
    )
    return name


def extra_body(entry: Section) -> dict[str, object]:
    """Preset fields of the requests; ours go before the client's, so each is remarked upon."""
    found = {name: value for name in BODY_FIELDS if (value := entry.take(name)) is not None}
    for name in found:
        entry.remark(
            name,
            "goes into extra_body and overrules what a client asks for; remove it if it was a default",
        )
    return found


def _address(entry: Section, key: str, keys: Keys) -> str | None:
    value = entry.text(key) or ""
    for prefix in FROM_ENVIRONMENT:
        if value.startswith(prefix):
            name = value.removeprefix(prefix)
            if name not in keys.given:
                entry.remark(key, f"is read from the variable {name} there; give it with --env {name}=URL")
                return None
            value = keys.given[name]
    parts = urlsplit(value)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username
        or parts.password
        or parts.query
    ):
        entry.remark(key, "is no plain http(s) address (no user, password or query) and was left out")
        return None
    return value.rstrip("/")


def _with_version(entry: Section, provider: str, upstream: KnownUpstream, base_url: str | None) -> str | None:
    """The address with the version that our dialects expect at its end."""
    if base_url is None:
        return upstream.base_url
    if upstream.provider == "azure":
        entry.remark_if(
            "api_version", "is not needed: the address ends in /openai/v1, which has no dated versions"
        )
        head = base_url.split("/openai")[0]
        return head + "/openai/v1"
    if upstream.dialect == "anthropic" or provider.startswith("ollama"):
        return base_url if base_url.endswith("/v1") else base_url + "/v1"
    return base_url


def _none(entry: Section, why: str) -> Place | None:
    entry.source.remark(entry.loc, f"was left out: {why}")
    return None
