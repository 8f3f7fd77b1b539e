"""Logs: one JSON object a line on stderr, with every secret hidden at the last stage.

Secrets are hidden by value (also URL-encoded and in base64) and by the look of a key, after the line is
complete, so that neither a library's message nor a traceback can carry one out. The standard library's
logging is used as it is: what dresses it up imports terminal libraries that a serving worker does without.
"""

import logging
import re
import sys
import threading
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import quote, quote_plus

import orjson

HIDDEN = "[hidden]"
_SHORTEST_SECRET = 6
_PATTERNS = re.compile(
    r"(?:\b(?:sk|pk|rk|gsk|xai|key)-[A-Za-z0-9_-]{8,}|\bAIza[A-Za-z0-9_-]{16,}|\bAKIA[A-Z0-9]{12,}"
    r"|(?<=bearer )[^\s\"',]+|(?<=basic )[A-Za-z0-9+/=]{6,}"
    r"|(?<=[?&]key=)[^\s&\"']+|(?<=api_key=)[^\s&\"',]+|(?<=api-key: )[^\s&\"',]+)",
    re.IGNORECASE,
)


class Redaction:
    """Hides secrets in finished text; more can be added while running."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._by_value: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these values as well, however they are encoded."""
        for secret in secrets:
            if len(secret) >= _SHORTEST_SECRET:
                self._forms.update(_forms(secret))
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._by_value = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def hide(self, text: str) -> str:
        """The text without any secret.

        >>> Redaction(["hunter2-and-more"]).hide("login hunter2-and-more failed, tried sk-abcdefgh1234")
        'login [hidden] failed, tried [hidden]'
        """
        if self._by_value is not None:
            text = self._by_value.sub(HIDDEN, text)
        return _PATTERNS.sub(HIDDEN, text)


def _forms(secret: str) -> set[str]:
    """The secret as it may appear: plain, escaped for URLs and JSON, and in base64 at each of three offsets."""
    forms = {secret, quote(secret, safe=""), quote_plus(secret), orjson.dumps(secret).decode()[1:-1]}
    for skipped in range(3):
        raw = b"\0" * skipped + secret.encode("utf-8", "surrogatepass")
        start, end = (skipped * 8 + 5) // 6, len(raw) * 8 // 6
        forms.update(encode(raw).decode()[start:end] for encode in (b64encode, urlsafe_b64encode))
    return forms


class JsonLines(logging.Formatter):
    """A record as one line of JSON, redacted when complete."""

    def __init__(self, redaction: Redaction, process: str) -> None:
        super().__init__()
        self._redaction = redaction
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line: dict[str, object] = {
            "at_ms": int(record.created * 1000),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        return self._redaction.hide(orjson.dumps(line, default=str).decode())


def set_up(process: str, redaction: Redaction, level: int = logging.INFO) -> None:
    """Send all logging and all uncaught errors of this process through the redaction to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(redaction, process))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    logging.captureWarnings(True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("pointsman").critical("uncaught error", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        thread = args.thread.name if args.thread else "unknown"
        trace = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("pointsman").critical("uncaught error in thread %s", thread, exc_info=trace)
