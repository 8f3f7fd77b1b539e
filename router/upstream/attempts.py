"""Attempts: what can go wrong with one call of one model, what follows from it, and what the client is told.

| code | when | another model? | client sees |
|---|---|---|---|
| connect_error | refused, no such host, hung up without a word | yes | 502 |
| timeout | no answer before the attempt's deadline, status 408 | yes | 504 |
| rate_limited | status 429 | yes | 429 |
| upstream_5xx | status 500 to 599 | yes | 502, or 503 for 503 and 529 |
| upstream_auth | status 401, 402, 403: our key, not the client's | yes | 502 |
| not_configured | no key or no such model here | yes | 502 |
| ineligible | the model's dialect cannot say what the request asks for | yes | 400 |
| bad_reply | no answer: not JSON, no choices, cut, redirect | yes | 502 |
| resting | its sites failed and are left alone for a while | yes | 503 |
| over_quota | a limit of the configuration is reached | yes | 429 |
| queue_full | too many batch requests wait at the model's limit | no | 429 |
| over_budget | the task has spent its money, and its budget says to refuse | no | 429 |
| context_overflow | the prompt is too long, by the upstream's error | if `fallbacks_on` names one | that status |
| content_refused | refused for its content | if `fallbacks_on` names one | the refusal |
| upstream_refused | any other status below 500 | no | that status, the upstream's message |
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import orjson

from router.config.availability import Cause
from router.errors import Ineligible, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from router.transport.transport import BrokenAnswer, ConnectFailed, TimedOut, TransportError, Upstream
from router.upstream.refusals import StreamRefused, is_filtered

MAX_RETRY_AFTER_S = 3_600
MAX_MESSAGE_CHARACTERS = 2_000
FULL_RETRY_S = 30
"""When a batch request that found the line full should come again."""
INELIGIBLE = "ineligible"
_ACCOUNT_STATUSES = (401, 402, 403)
_BUSY_STATUSES = (503, 529)


AGAIN = frozenset({"connect_error", "rate_limited", "upstream_5xx"})
"""Failures that a further attempt at the same site may mend."""
ELSEWHERE = AGAIN | {"timeout", "upstream_auth", "not_configured", "bad_reply", "over_quota"}
"""Failures that another deployment of the model may mend."""
_CAUSES: Mapping[str, Cause] = {
    "context_overflow": "context_overflow", "content_refused": "refusal", "rate_limited": "rate_limited",
    "over_quota": "rate_limited", "timeout": "timeout",
}  # fmt: skip
_OVERFLOWS = ("context_length_exceeded", "context_window_exceeded", "string_above_max_length")
_OVERFLOW_WORDS = (
    "context length", "context window", "prompt is too long", "maximum context", "too many tokens", "input is too long",
    "exceed context limit",
)  # fmt: skip
"""Of upstreams that give such an error no code of its own."""


class AttemptFailed(Exception):
    """One attempt gave no answer: `code` for the ledger, `another` whether a usual fallback may mend it."""

    def __init__(self, code: str, error: UpstreamFailed, another: bool = True) -> None:
        super().__init__(code)
        self.code = code
        self.error = error
        self.another = another

    @property
    def cause(self) -> Cause:
        """By which the configuration may name other fallbacks."""
        return _CAUSES.get(self.code, "error")


def not_configured(model: str, what: str) -> AttemptFailed:
    """The server itself cannot call the model."""
    return AttemptFailed("not_configured", UpstreamFailed(f"model {model!r} cannot be called: {what}"))


def ineligible(model: str, what: str) -> AttemptFailed:
    """The request asks for something that this model's API has no words for."""
    return AttemptFailed(INELIGIBLE, Ineligible(f"model {model!r} cannot serve this request: {what}"))


def content_refused(model: str) -> AttemptFailed:
    """The model refused in an answer of its own."""
    return AttemptFailed(
        "content_refused", UpstreamFailed(f"model {model!r} refused to answer"), another=False
    )


def refused_midway(model: str, target: Upstream, refused: StreamRefused) -> AttemptFailed:
    """A stream was ended for its content before there was any: as if the status had said it."""
    body = orjson.dumps({"error": refused.error})
    error = UpstreamRefused(f"model {model!r} refused to answer", 400, _shown_error(body, target))
    return AttemptFailed("content_refused", error, another=False)


def resting(model: str, wait_s: float) -> AttemptFailed:
    """All sites of a model are left alone."""
    message = f"model {model!r} failed too often and is left alone for a while; try again later"
    return AttemptFailed("resting", UpstreamFailed(message, 503, max(1, round(wait_s))))


def over_quota(model: str, wait_s: float) -> AttemptFailed:
    """A limit of the configuration is reached."""
    message = f"model {model!r} is at the limit that its configuration sets; try again later"
    return AttemptFailed("over_quota", UpstreamFailed(message, 429, max(1, round(wait_s))))


def queue_full(model: str) -> AttemptFailed:
    """Nobody else may wait at the model's limit."""
    message = (
        f"model {model!r} is at its limit, and as many batch requests wait for it as may; try again later"
    )
    return AttemptFailed("queue_full", UpstreamFailed(message, 429, FULL_RETRY_S), another=False)


def over_budget(task: str, wait_s: float) -> AttemptFailed:
    """The task has spent its money."""
    message = f"task {task!r} has spent what its budget allows by now; try again later"
    return AttemptFailed("over_budget", UpstreamFailed(message, 429, max(1, round(wait_s))), another=False)


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
    return AttemptFailed(_kind_of_refusal(status, body), refused, another=False)


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


def _kind_of_refusal(status: int, body: bytes) -> str:
    """What a refused request has too much of, as far as its error says it in OpenAI's or Anthropic's way."""
    try:
        error = orjson.loads(body)["error"]
        code, message = str(error.get("code")), str(error.get("message")).lower()
    except (ValueError, TypeError, KeyError, AttributeError):
        return "upstream_refused"
    if code in _OVERFLOWS or (
        status in (400, 413, 422) and any(words in message for words in _OVERFLOW_WORDS)
    ):
        return "context_overflow"
    return "content_refused" if is_filtered(code) else "upstream_refused"


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
    text = str(value).replace(target.url, "[upstream]")
    for secret in (target.key, *target.secrets):
        text = text.replace(secret, "[key]") if secret else text
    return text[:MAX_MESSAGE_CHARACTERS]  # last, as half a key would not be found
