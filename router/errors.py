"""Errors of the use cases, each with a stable wire code.

PointsmanError
├── InvalidRequest           the caller's input breaks the contract; names field, value and bound
├── ConfigInvalid            the configuration has problems, all of them listed
├── NotFound                 no such experiment, task or model
├── Conflict                 the state changed meanwhile, or does not allow the move
├── EvidenceRefused          the evidence does not support the promotion
├── Overloaded               a bounded queue is full: try again later
├── StoreDown                the ledger cannot acknowledge now: try again later
└── UpstreamFailed           no model gave an answer
    ├── UpstreamTimeout
    ├── UpstreamRefused      the upstream answered with an error status that no fallback mends
    ├── Ineligible           the decided model's API cannot express the request
    └── StreamBroken         the upstream ended before its answer was complete
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


class PointsmanError(Exception):
    """Root of the errors a caller may see; `code` is stable, the message names the remedy."""

    code = "internal_error"


class InvalidRequest(PointsmanError):
    """The caller's input breaks the contract."""

    code = "invalid_request"

    def __init__(self, message: str, field: str | None = None, index: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.index = index


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration file, at the place where it is written."""

    path: str
    line: int
    column: int
    field: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        mark = "warning: " if self.severity == "warning" else ""
        return f"{self.path}:{self.line}:{self.column}: {self.field}: {mark}{self.message}"


class ConfigInvalid(PointsmanError):
    """The configuration or a setting cannot be used; `problems` lists all that is wrong with a file."""

    code = "config_invalid"

    def __init__(self, message: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message or "\n".join(map(str, problems)))
        self.problems = tuple(problems)


class NotFound(PointsmanError):
    """There is no such experiment, task or model."""

    code = "not_found"


def no_experiment(name: str) -> NotFound:
    """The error of a name that no experiment has."""
    return NotFound(f"there is no experiment {name[:100]!r}; `pointsman experiments` lists them")


class Conflict(PointsmanError):
    """The state changed meanwhile or does not allow this; read it again."""

    code = "conflict"


class EvidenceRefused(PointsmanError):
    """The evidence does not support the promotion."""

    code = "evidence_refused"


class Overloaded(PointsmanError):
    """A bounded queue is full."""

    code = "overloaded"
    retry_after_s = 1


class StoreDown(PointsmanError):
    """The ledger cannot acknowledge now; nothing was kept."""

    code = "store_down"
    retry_after_s = 1


class UpstreamFailed(PointsmanError):
    """No model gave an answer; `status` is what the client should see."""

    code = "upstream_failed"

    def __init__(self, message: str, status: int = 502, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class UpstreamTimeout(UpstreamFailed):
    """The upstream did not answer in time."""

    code = "upstream_timeout"


class UpstreamRefused(UpstreamFailed):
    """The upstream answered with an error status that no other model would mend."""

    code = "upstream_refused"

    def __init__(
        self, message: str, status: int, body: bytes = b"", retry_after_s: int | None = None
    ) -> None:
        super().__init__(message, status, retry_after_s)
        self.body = body


class Ineligible(UpstreamFailed):
    """No model that was tried speaks an API in which the request can be said."""

    code = "ineligible"

    def __init__(self, message: str) -> None:
        super().__init__(message, 400)


class StreamBroken(UpstreamFailed):
    """The upstream ended before its answer was complete."""

    code = "stream_broken"
