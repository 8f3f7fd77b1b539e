"""Dialects by name: built in, shipped and loaded only where a configuration names them, or of another package.

A package brings a dialect by an entry point of the group `pointsman.dialects`: its name is the word that
`dialect` takes, its value a `Dialect`. Nothing of a dialect is imported before a configuration names it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

from pydantic import AfterValidator

from experiments.definition.names import Name

GROUP = "pointsman.dialects"
ENDPOINTS = frozenset({"chat", "embeddings", "responses"})
BUILT_IN = frozenset({"openai", "anthropic"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a package registers."""

    exchanges: Mapping[str, Any]  # reason: `router.upstream.exchange.Exchange`, which belongs to a later room
    """How each endpoint is spoken; one that is left out is ineligible."""
    secrets: frozenset[str] = frozenset()
    """Words that `secrets_env` of a model may have."""
    needs_length: bool = False
    """Its API must be told the longest answer, so `default_max_tokens` may be set."""
    check: Callable[[Any], None] | None = (
        None  # reason: takes a `router.config.model.Model`, which names this
    )
    """Called with each model, and each place of one, that names the dialect; raises ValueError with the remedy."""


@dataclass(frozen=True, slots=True)
class _Shipped:
    module: str
    extra: str


SHIPPED: Mapping[str, _Shipped] = {
    "bedrock": _Shipped("router.upstream.dialects.bedrock", "bedrock"),
    "gemini": _Shipped("router.upstream.dialects.gemini", "gemini"),
}


def check_dialect(name: str) -> str:
    """The name, if this installation speaks it; raises ValueError naming those that it does."""
    if name not in BUILT_IN:
        load_dialect(name)
    return name


DialectName = Annotated[Name, AfterValidator(check_dialect)]


@lru_cache(maxsize=100)
def load_dialect(name: str) -> Dialect:
    """A dialect that is not built in; imported at the first call, refused where that fails."""
    shipped = SHIPPED.get(name)
    if shipped is not None:
        return _shipped(name, shipped)
    registered = entry_points(group=GROUP)
    found = [each for each in registered if each.name == name]
    if not found:
        raise ValueError(_unknown(name, [each.name for each in registered]))
    if len(found) > 1:
        owners = ", ".join(sorted(map(_owner, found)))
        raise ValueError(f"dialect {name!r} is brought by several packages ({owners}); uninstall all but one")
    return _registered(found[0])


def _shipped(name: str, shipped: _Shipped) -> Dialect:
    try:
        dialect: Dialect = import_module(shipped.module).DIALECT
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        raise ValueError(
            f"dialect {name!r} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'pointsman[{shipped.extra}]'"
        ) from None
    return dialect


def _registered(found: EntryPoint) -> Dialect:
    """The dialect of another package, whose faults are told as that package's."""
    whose = f"dialect {found.name!r} of the package {_owner(found)}"
    try:
        dialect = found.load()
    except Exception as error:
        raise ValueError(
            f"{whose} cannot be loaded ({type(error).__name__}: {error}); repair it or uninstall it"
        ) from None
    if not isinstance(dialect, Dialect):
        raise ValueError(f"{whose} is a {type(dialect).__name__}, must be a Dialect; see docs/dialects.md")
    unknown = dialect.exchanges.keys() - ENDPOINTS
    if unknown:
        raise ValueError(
            f"{whose} speaks {min(unknown)!r}, which is no endpoint; there are {', '.join(sorted(ENDPOINTS))}"
        )
    return dialect


def _unknown(name: str, registered: list[str]) -> str:
    from difflib import get_close_matches  # here, as no serving process needs it

    known = sorted({*BUILT_IN, *SHIPPED, *registered})
    near = get_close_matches(name, known, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return (
        f"dialect {name!r} is not known here{meant}; known are {', '.join(known)}, "
        f"and others come with a package that registers them as {GROUP}"
    )


def _owner(found: EntryPoint) -> str:
    return found.dist.name if found.dist is not None else found.module
