"""Who may do what: bearer keys with scopes, deny by default.

Keys are looked up by their hash in the snapshot, so a revoked key ends when the snapshot follows the store.
As long as the store never held a key, a server on a loopback address is open; it then answers only requests
that name it as a local host and come from no other site, which stops web pages from reaching it through the
user's browser (DNS rebinding, cross-site requests).
"""

import hmac
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import lru_cache

from starlette.types import Scope as Request

from api.serving.problems import error_body, problem
from api.serving.replies import JSON, Reply
from experiments.evidence.record import record
from router.keys import hash_key
from storage.records import KeyRow, Scope, State

_LOCAL_HOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_SAFE_METHODS = ("GET", "HEAD")
_REFUSED = error_body("unauthenticated", "this needs a valid key; send it as: Authorization: Bearer <key>")
_ASK_BEARER = Reply(401, _REFUSED, (*JSON, (b"www-authenticate", b'Bearer realm="pointsman"')))
_ASK_BASIC = Reply(401, _REFUSED, (*JSON, (b"www-authenticate", b'Basic realm="pointsman", charset="UTF-8"')))
_FOREIGN = problem(
    "forbidden",
    "without keys only local requests are answered: the Host must be localhost, 127.0.0.1 or [::1] and the "
    "Origin, if any, the same; to serve others make a key with: pointsman keys add",
)


@record(frozen=True, slots=True)
class Identity:
    """Whoever a request comes from; `actor` is what the audit record says."""

    actor: str
    scopes: frozenset[Scope]

    def may(self, needed: Scope) -> bool:
        """Whether the scopes cover what is needed; `admin` covers everything."""
        return needed in self.scopes or "admin" in self.scopes


LOCAL = Identity("local", frozenset({"admin"}))


class Auth:
    """Finds the identity of a request; it never depends on the request's URL."""

    def __init__(self, state: Callable[[], State], loopback: bool) -> None:
        self._state = state
        self._loopback = loopback
        self._seen: State | None = None
        self._keys: Mapping[str, tuple[KeyRow, Identity]] = {}

    def identify(self, request: Request) -> Identity | Reply:
        """The request's identity, or the refusal; a failed check never becomes another identity."""
        state = self._state()
        if state is not self._seen:
            self._keys = {key.hash: (key, _identity(key)) for key in state.keys}
            self._seen = state
        if not state.keys and self._loopback:
            return LOCAL if _is_local(request) else _FOREIGN
        secret = _secret(request)
        identity = None if secret is None else self._known(hash_key(secret))
        if identity is None:
            return _ASK_BASIC if _wants_page(request) else _ASK_BEARER
        return identity

    def admit(self, request: Request, needed: Scope) -> Identity | Reply:
        """The identity if it has the scope, else the refusal."""
        found = self.identify(request)
        if isinstance(found, Reply) or found.may(needed):
            return found
        return lacking(needed)

    def _known(self, hashed: str) -> Identity | None:
        row, identity = self._keys.get(hashed, (None, None))
        if row is None or row.revoked_at_ms is not None or not hmac.compare_digest(row.hash, hashed):
            return None
        return identity


def _identity(key: KeyRow) -> Identity:
    """Made once for each key: its holder sends it with every request."""
    return Identity(f"key:{key.id}", frozenset(key.scopes))


def lacking(needed: Scope) -> Reply:
    """The refusal of a key that is valid and lacks a scope."""
    return problem("forbidden", f"this needs a key with the scope {needed!r}")


def _values(request: Request, wanted: bytes) -> list[bytes]:
    return [value for name, value in request["headers"] if name == wanted]


def _is_local(request: Request) -> bool:
    """Whether the request names this host as local and was made by no other site's page."""
    hosts, origins = _values(request, b"host"), _values(request, b"origin")
    if len(hosts) != 1 or not _names_us(hosts[0]):
        return False
    if not origins:
        return True
    host = hosts[0].lower()
    return all(origin.lower() in (b"http://" + host, b"https://" + host) for origin in origins)


@lru_cache(maxsize=64)
def _names_us(host: bytes) -> bool:
    """Whether a Host header names this machine itself, at any port; clients send the same few."""
    return _LOCAL_HOST.fullmatch(host.lower()) is not None


def _secret(request: Request) -> str | None:
    """The key that a request carries: as bearer token, or as password of a page's GET."""
    given = _values(request, b"authorization")
    if len(given) != 1:
        return None
    scheme, _, value = given[0].decode("latin-1").partition(" ")
    kind = scheme.lower()
    if kind == "bearer":
        return value.strip() or None
    if kind == "basic" and request["method"] in _SAFE_METHODS:
        return _password(value)
    return None


def _password(value: str) -> str | None:
    try:
        _, _, password = b64decode(value, validate=True).decode("utf-8").partition(":")
    except ValueError:
        return None
    return password or None


def _wants_page(request: Request) -> bool:
    """Whether a browser asks for a page, which it can authenticate by asking its user."""
    accepts = _values(request, b"accept")
    return request["method"] in _SAFE_METHODS and any(b"text/html" in accept for accept in accepts)
