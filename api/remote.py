"""Commands on a running server over its HTTP API, with the standard library only.

Redirects are not followed, and loopback addresses are reached without a proxy: the key goes to the
server that the user named and nowhere else.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from api.commands.output import Fields
from api.commands.target import Move, ReportForm
from router.errors import Conflict, EvidenceRefused, InvalidRequest, NotFound, PointsmanError

TIMEOUT_S = 30.0
_MAX_ANSWER = 100_000_000
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ERRORS: Mapping[str, type[PointsmanError]] = {
    error.code: error for error in (Conflict, EvidenceRefused, InvalidRequest, NotFound)
}


class ServerFailed(PointsmanError):
    """The server could not be reached, or answered something that is no answer of Pointsman."""

    code = "server_failed"


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:  # reason: the library's untyped signature
        """Follow nothing: the key is for this server only."""


def connect(url: str, key: str | None) -> "RemoteTarget":
    """A server at an http or https URL; `key` is its bearer key, if it asks for one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(
            f"--url {url[:100]!r} must begin with http:// or https:// and name a host", "url"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidRequest(
            "--url holds no user, query or fragment; put the key into the variable of --key-env", "url"
        )
    handlers = [ProxyHandler({})] if parts.hostname in _LOOPBACK else []
    return RemoteTarget(url.rstrip("/"), key, build_opener(_NoRedirects(), *handlers))


class RemoteTarget:
    """A `Target` behind HTTP."""

    def __init__(self, base: str, key: str | None, opener: OpenerDirector) -> None:
        self._base = base
        self._key = key
        self._opener = opener

    def experiments(self) -> list[Fields]:
        """All experiments, the newest first."""
        return self._list("/v1/experiments", "experiments")

    def move(self, move: Move, name: str, why: str) -> Fields:
        """Start, pause or stop an experiment."""
        return self._json("POST", f"/v1/experiments/{_part(name)}/{move}", {"why": why})

    def report(self, name: str, form: ReportForm) -> str:
        """The server's newest report."""
        body = self._read("GET", f"/v1/experiments/{_part(name)}/report?format={form}").decode()
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False) if form == "json" else body

    def power(self, name: str, units_per_day: float | None) -> Fields:
        """Units and days to a verdict, by the plan that the server's planner keeps."""
        query = "" if units_per_day is None else f"?{urlencode({'units_per_day': units_per_day})}"
        return self._json("GET", f"/v1/experiments/{_part(name)}/power{query}")

    def promote(self, name: str, why: str, candidate: str | None, force: bool) -> Fields:
        """Make a candidate the champion."""
        body = {"why": why, "candidate": candidate, "force": force}
        return self._json("POST", f"/v1/experiments/{_part(name)}/promote", body)

    def rollback(self, task: str, why: str) -> Fields:
        """Give a task its previous champion back; the server names tasks by their experiments here."""
        name = next((row["name"] for row in self.experiments() if row["task"] == task), None)
        if name is None:
            raise NotFound(f"task {task[:100]!r} never had an experiment; name its champion with set-route")
        return self._json("POST", f"/v1/experiments/{_part(str(name))}/rollback", {"why": why})

    def routes(self) -> list[Fields]:
        """Every task and its champion."""
        return self._list("/v1/routes", "routes")

    def mix(self) -> str:
        """The declared mix of tiers beside what the server decided since its start."""
        mix = self._json("GET", "/v1/routes").get("mix")
        return str(mix["sentence"]) if isinstance(mix, dict) and "sentence" in mix else ""

    def explain(self, asked: Fields) -> Fields:
        """What would become of a request."""
        return self._json("POST", "/v1/explain", dict(asked))

    def set_route(self, task: str, model: str, why: str) -> Fields:
        """Name a champion by hand."""
        return self._json("PUT", f"/v1/routes/{quote(task, safe='/')}", {"model": model, "why": why})

    def audit(self, limit: int) -> list[Fields]:
        """The newest changes first."""
        return self._list(f"/v1/audit?limit={limit}", "entries")

    def decision(self, decision_id: str) -> Fields:
        """One decision from its choice to its feedback."""
        return self._json("GET", f"/v1/decisions/{_part(decision_id)}")

    def export(self, kind: str, experiment: str | None) -> Iterator[str]:
        """Rows of the ledger as lines of JSON."""
        query = {"kind": kind} if experiment is None else {"kind": kind, "experiment": experiment}
        with self._open("GET", f"/v1/export?{urlencode(query)}") as answer:
            for line in answer:
                yield line.decode().rstrip("\n")

    def keys(self) -> list[Fields]:
        """All keys without their secrets."""
        return self._list("/v1/keys", "keys")

    def add_key(self, key_id: str, scopes: Sequence[str]) -> str:
        """A new key, shown once."""
        return str(self._json("POST", "/v1/keys", {"id": key_id, "scopes": list(scopes)})["key"])

    def revoke_key(self, key_id: str) -> None:
        """End a key."""
        self._read("DELETE", f"/v1/keys/{_part(key_id)}")

    def ask(self, method: str, path: str, body: object = None) -> Fields:
        """One question that is answered with an object."""
        return self._json(method, path, body)

    def send(self, path: str, pieces: Iterator[bytes], headers: Mapping[str, str], timeout_s: float) -> bytes:
        """Post a body piece by piece; the whole answer."""
        request = Request(self._base + path, pieces, {**self._headers(), **headers}, method="POST")  # noqa: S310  # http(s), checked in connect
        with self._opened(request, timeout_s) as answer:
            return answer.read(_MAX_ANSWER)

    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """An answer piece by piece, whatever its length."""
        with self._open("GET", path) as answer:
            while piece := answer.read(size):
                yield piece

    def _list(self, path: str, field: str) -> list[Fields]:
        found = self._json("GET", path).get(field)
        if not isinstance(found, list):
            raise ServerFailed(f"{self._base}{path} holds no {field}; is this a Pointsman server?")
        return found

    def _json(self, method: str, path: str, body: object = None) -> Fields:
        raw = self._read(method, path, body)
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServerFailed(f"{self._base} answered no JSON object; is this a Pointsman server?")
        return found

    def _read(self, method: str, path: str, body: object = None) -> bytes:
        try:
            with self._open(method, path, body) as answer:
                raw = answer.read(_MAX_ANSWER + 1)
        except (HTTPException, TimeoutError) as error:
            raise ServerFailed(
                f"{self._base} broke off its answer ({type(error).__name__}); try again"
            ) from None
        if len(raw) > _MAX_ANSWER:
            raise ServerFailed(f"{self._base} answered more than {_MAX_ANSWER} bytes")
        return raw

    def _open(self, method: str, path: str, body: object = None) -> HTTPResponse:
        headers = self._headers()
        data = None
        if body is not None:
            headers["content-type"] = "application/json"
            data = json.dumps(body).encode()
        request = Request(self._base + path, data, headers, method=method)  # noqa: S310  # http(s), checked in connect
        return self._opened(request, TIMEOUT_S)

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        return headers

    def _opened(self, request: Request, timeout_s: float) -> HTTPResponse:
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=timeout_s)
        except HTTPError as error:
            raise _refusal(error.code, error) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ServerFailed(f"{self._base} does not answer ({reason}); is the server running?") from None
        return answer


def _part(name: str) -> str:
    return quote(name, safe="")


def _refusal(status: int, answer: IO[bytes]) -> PointsmanError:
    """The server's error as the use cases would have raised it here."""
    try:
        error = json.loads(answer.read(1_000_000))["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError, OSError, HTTPException):
        return ServerFailed(f"the server answered with status {status} and no error of Pointsman's")
    return _ERRORS.get(code, ServerFailed)(message)
