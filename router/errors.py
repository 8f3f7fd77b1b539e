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
        └── StreamBroken         the upstream ended before its answer was complete
"""


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


class ConfigInvalid(PointsmanError):
    """The configuration or a setting cannot be used; the message lists every problem with its place."""

    code = "config_invalid"


class NotFound(PointsmanError):
    """There is no such experiment, task or model."""

    code = "not_found"


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

    def __init__(self, message: str, status: int, body: bytes = b"", retry_after_s: int | None = None) -> None:
        super().__init__(message, status, retry_after_s)
        self.body = body


class StreamBroken(UpstreamFailed):
    """The upstream ended before its answer was complete."""

    code = "stream_broken"
