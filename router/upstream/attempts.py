"""Attempts: what can go wrong with one call of one model, what follows from it, and what the client is told.

| code | when | another model? | client sees |
|---|---|---|---|
| connect_error | refused, no such host, hung up without a word | yes | 502 |
| timeout | no answer before the attempt's deadline, status 408 | yes | 504 |
| rate_limited | status 429 | yes | 429 |
| upstream_5xx | status 500 to 599 | yes | 502, or 503 for 503 and 529 |
| upstream_auth | status 401, 402, 403: our key, not the client's | yes | 502 |
| not_configured | no key or no such model here | yes | 502 |
| bad_reply | no chat answer: not JSON, no choices, cut, redirect | yes | 502 |
| upstream_refused | any other status below 500 | no | that status, the upstream's message |
"""

from email.utils import parsedate_to_datetime

import orjson

from router.errors import UpstreamFailed, UpstreamRefused, UpstreamTimeout
from router.upstream.transport import BrokenAnswer, ConnectFailed, TimedOut, TransportError, Upstream

MAX_RETRY_AFTER_S = 3_600
MAX_MESSAGE_CHARACTERS = 2_000
_ACCOUNT_STATUSES = (401, 402, 403)
_BUSY_STATUSES = (503, 529)


class AttemptFailed(Exception):
    """One attempt gave no answer: `code` for the ledger, `another` whether a fallback may mend it."""

    def __init__(self, code: str, error: UpstreamFailed, another: bool = True) -> None:
        super().__init__(code)
        self.code = code
        self.error = error
        self.another = another


def not_configured(model: str, what: str) -> AttemptFailed:
    """The server itself cannot call the model."""
    return AttemptFailed("not_configured", UpstreamFailed(f"model {model!r} cannot be called: {what}"))


def of_transport(model: str, error: TransportError) -> AttemptFailed:
    """What follows from an error below HTTP."""
    if isinstance(error, TimedOut):
        return timed_out(model)
    code = "connect_error" if isinstance(error, ConnectFailed) else "bad_reply"
    return AttemptFailed(code, UpstreamFailed(f"model {model!r} gave no answer: {error}"))


def timed_out(model: str) -> AttemptFailed:
    """The attempt's time is over."""
    return AttemptFailed("timeout", UpstreamTimeout(f"model {model!r} gave no answer in time", 504))


def bad_reply(model: str, what: str) -> AttemptFailed:
    """The upstream's answer is none."""
    return of_transport(model, BrokenAnswer(what))


def of_status(
    model: str, target: Upstream, status: int, body: bytes, retry_after: str | None, now_ms: int
) -> AttemptFailed:
    """What follows from a status other than 200."""
    retry_after_s = read_retry_after(retry_after, now_ms)
    if status == 429:
        message = f"model {model!r} is rate-limited by its upstream; try again later"
        return AttemptFailed("rate_limited", UpstreamFailed(message, 429, retry_after_s))
    if status >= 500:
        message = f"the upstream of model {model!r} failed with status {status}"
        seen = 503 if status in _BUSY_STATUSES else 502
        return AttemptFailed("upstream_5xx", UpstreamFailed(message, seen, retry_after_s))
    if status in _ACCOUNT_STATUSES:
        message = f"the upstream of model {model!r} refuses this server's credentials (status {status}); "
        return AttemptFailed("upstream_auth", UpstreamFailed(message + "tell the operator"))
    if status == 408:
        return timed_out(model)
    if status < 400:
        return bad_reply(model, f"unexpected status {status}")
    message = f"model {model!r} refused the request with status {status}"
    refused = UpstreamRefused(message, status, _shown_error(body, target), retry_after_s)
    return AttemptFailed("upstream_refused", refused, another=False)


def read_retry_after(value: str | None, now_ms: int) -> int | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None if it says neither.

    >>> read_retry_after("120", 0), read_retry_after("Thu, 01 Jan 1970 00:00:09 GMT", 4_000)
    (120, 5)
    >>> read_retry_after("soon", 0), read_retry_after("-3", 0)
    (None, None)
    """
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), MAX_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now_ms / 1e3
    except (ValueError, OverflowError):
        return None
    return min(max(0, round(seconds)), MAX_RETRY_AFTER_S)


def _shown_error(body: bytes, target: Upstream) -> bytes:
    """The upstream's error for the client, if it has the known shape; rebuilt, and rid of our key and URL."""
    try:
        error = orjson.loads(body)["error"]
        shown = {"message": error["message"], **{key: error.get(key) for key in ("type", "param", "code")}}
    except (ValueError, TypeError, KeyError, AttributeError):
        return b""
    if not isinstance(shown["message"], str):
        return b""
    return orjson.dumps({"error": {key: _clean(value, target) for key, value in shown.items()}})


def _clean(value: object, target: Upstream) -> str | None:
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text = str(value)[:MAX_MESSAGE_CHARACTERS].replace(target.url, "[upstream]")
    return text.replace(target.key, "[key]") if target.key else text
