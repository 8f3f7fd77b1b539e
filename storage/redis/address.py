"""Where the Redis store is: its URL, taken apart and shown without secrets."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis.connection import parse_url

from storage.errors import StoreIncompatible
from storage.redis.keys import PREFIX, Keyspace

_FORMS = "use redis://[user:password@]host[:port][/database], rediss://... or unix:///path/to/socket"
_OPTIONS = frozenset({"db", "username", "password"})
_TLS_OPTIONS = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)
"""Timeouts and retries are not among them: they are part of what the store promises."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and the keys of the store there."""

    url: str = field(repr=False)
    """For the client library; may hold a password."""
    where: str
    """For people: no user, no password, no options."""
    keys: Keyspace
    password: str | None = field(repr=False)


def parse_address(url: str) -> Address:
    """Take a store's URL apart; errors repeat nothing of it, since it may hold a password."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        prefix = options.pop("prefix", PREFIX)
        known = _OPTIONS | _TLS_OPTIONS if parts.scheme == "rediss" else _OPTIONS
        unknown = sorted(options.keys() - known)
        query = f"?{urlencode(options)}" if options else ""
        clean = f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
        found: dict[str, Any] = parse_url(clean)  # type: ignore[no-untyped-call]  # options of any kind
        where = _where(parts, found)
    except ValueError:
        raise StoreIncompatible(f"the URL of the Redis store is malformed; {_FORMS}") from None
    if unknown:
        raise StoreIncompatible(
            f"option {unknown[0][:40]!r} of the Redis store's URL is not known; "
            f"it takes prefix, {', '.join(sorted(known))}"
        )
    try:
        keys = Keyspace(prefix)
    except ValueError as error:
        raise StoreIncompatible(str(error)) from error
    return Address(clean, where, keys, found.get("password"))


def _where(parts: SplitResult, found: dict[str, Any]) -> str:  # as above
    if parts.scheme == "unix":
        return f"unix://{found['path']}" if "path" in found else _malformed()
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "localhost"
    return f"{parts.scheme}://{host}:{parts.port or 6379}/{found.get('db', 0)}"


def _malformed() -> str:
    raise ValueError
