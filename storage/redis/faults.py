"""Faults of the Redis server and of the way to it, in our words and without anybody's password."""

import re

from redis import exceptions

from storage.errors import StoreError, StoreIncompatible, StoreUnavailable

_CODES = (
    ("OOM", "is full (maxmemory); free memory or raise the limit, then send it again"),
    ("READONLY", "is a read-only replica; name the primary"),
    ("LOADING", "is still loading its data; try again"),
    ("BUSY", "is busy with another program's script; try again"),
    ("MISCONF", "cannot save to its disk and refuses writes; free space there"),
    ("MASTERDOWN", "is a replica without its primary; try again"),
    ("CLUSTERDOWN", "is a cluster without all of its slots; try again"),
    ("NOREPLICAS", "has too few replicas for a write; try again"),
    ("NOAUTH", "wants a password; give one in the URL"),
    ("WRONGPASS", "refuses user or password; check both"),
    ("NOPERM", "lets this user not run all commands that are needed; see docs/keyspace.md"),
)
_TYPES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.AuthenticationError, "WRONGPASS"),
    (exceptions.AuthorizationError, "WRONGPASS"),
)
_FOREIGN = re.compile(r"\bWRONGTYPE\b")
_SHOWN = 160


def in_our_words(where: str, error: Exception, password: str | None) -> StoreError:
    """The error that a store raises for one of the client library; `where` names the server without secrets.

    Errors inside scripts and transactions carry the server's code somewhere in their text, hence the search.
    """
    text = str(error)
    if _FOREIGN.search(text):
        return StoreIncompatible(
            f"{where}: a key of the store holds another type; name another prefix or database"
        )
    told = dict(_CODES)
    for kind, code in _TYPES:
        if isinstance(error, kind):
            return StoreUnavailable(f"{where} {told[code]}")
    for code, words in _CODES:
        if re.search(rf"\b{code}\b", text):
            return StoreUnavailable(f"{where} {words}")
    if isinstance(error, exceptions.TimeoutError):
        return StoreUnavailable(f"{where} does not answer in time; check that it runs and is not overloaded")
    if isinstance(error, exceptions.ConnectionError | OSError):
        return StoreUnavailable(f"{where} cannot be reached or hung up; check that it runs")
    shown = text.rpartition("caused error: ")[2][:_SHOWN]
    if password:
        shown = shown.replace(password, "***")
    return StoreUnavailable(f"{where} refused a command: {shown}")
