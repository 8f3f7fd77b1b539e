"""Which store a URL names. The Redis client is loaded only by those who use one."""

from pathlib import Path

from storage.errors import StoreIncompatible
from storage.memory.store import MemoryStore
from storage.sqlite.store import SqliteStore
from storage.store import Store

_FORMS = "use a path, sqlite:///path or memory:, or redis://host/database, rediss:// or unix:///socket"
_REDIS = frozenset({"redis", "rediss", "unix"})


def open_store(url: str) -> Store:
    """The store that `url` names: `memory:`, a path, or `sqlite:///path` (four slashes before an absolute path).

    Or a Redis or Valkey server: `redis://host:port/database`, `rediss://...`, `unix:///socket`. A URL may hold a
    password, so errors name its scheme and no more.
    """
    scheme, separator, rest = url.partition("://")
    if url == "memory:":
        return MemoryStore()
    if not separator and url:
        return SqliteStore(Path(url))
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SqliteStore(Path(rest[1:]))
    if scheme in _REDIS:
        return _redis_store(url)
    raise StoreIncompatible(f"store {scheme[:20] + separator!r} is not known; {_FORMS}")


def place_of(url: str) -> str:
    """The store that `url` names, for people: without user, password and options."""
    if url.partition("://")[0] not in _REDIS:
        return url
    from storage.redis.address import parse_address

    return parse_address(url).where


def _redis_store(url: str) -> Store:
    from storage.redis.store import RedisStore

    return RedisStore(url)
