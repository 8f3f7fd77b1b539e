"""Which store a URL names."""

from pathlib import Path

from storage.errors import StoreIncompatible
from storage.memory.store import MemoryStore
from storage.sqlite.store import SqliteStore
from storage.store import Store

_FORMS = "use a path, sqlite:///path or memory:"
_REDIS = frozenset({"redis", "rediss", "valkey", "unix"})


def open_store(url: str) -> Store:
    """The store that `url` names: `memory:`, a path, or `sqlite:///path` (four slashes before an absolute path).

    A URL may hold a password, so errors name its scheme and no more.
    """
    scheme, separator, rest = url.partition("://")
    if url == "memory:":
        return MemoryStore()
    if not separator and url:
        return SqliteStore(Path(url))
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SqliteStore(Path(rest[1:]))
    if scheme in _REDIS:
        raise StoreIncompatible(f"a store at {scheme}:// is not yet supported; {_FORMS}")
    raise StoreIncompatible(f"store {scheme[:20] + separator!r} is not known; {_FORMS}")
