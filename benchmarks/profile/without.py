"""A worker without one of its parts, to see by its absence what the part costs. For measurement only."""

from collections.abc import Callable, Mapping
from types import TracebackType

from starlette.types import Receive

from api.serving import gateway
from api.serving.departure import Unwatched
from api.serving.metrics import Counters
from benchmarks.loopback import ANSWER
from router.recording.recorder import Recorder
from router.transport.aiohttp_transport import AiohttpTransport
from router.transport.transport import Deadlines, Reply, Upstream
from storage.records import CallRow, DecisionRow


def _recording() -> None:
    """Rows are built and dropped."""

    def decided(self: Recorder, row: DecisionRow) -> None:
        pass

    def finished(self: Recorder, row: CallRow) -> None:
        pass

    setattr(Recorder, "decided", decided)  # noqa: B010  # mypy would refuse the assignment
    setattr(Recorder, "finished", finished)  # noqa: B010  # as above


def _headers() -> None:
    """Answers say nothing of their decision but in the body."""
    setattr(gateway, "decision_headers", lambda *_: [])  # noqa: B010  # as above


class _Alone:
    """A block that nobody leaves."""

    gone = cancelled = False

    def __init__(
        self, receive: Receive, unwatched: Unwatched | None = None, patience_s: float = 0.0
    ) -> None: ...

    async def __aenter__(self) -> "_Alone":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _departure() -> None:
    """Nobody watches for clients that leave."""
    setattr(gateway, "Departure", _Alone)  # noqa: B010  # as above


def _counters() -> None:
    """Answers are not counted."""

    def answered(self: Counters, endpoint: str, status: int, seconds: float) -> None:
        pass

    setattr(Counters, "answered", answered)  # noqa: B010  # as above


def _upstream() -> None:
    """The answer is there at once, without any HTTP."""

    async def call(*_: AiohttpTransport | Upstream | bytes | Deadlines) -> Reply:
        return Reply(200, ANSWER)

    setattr(AiohttpTransport, "call", call)  # noqa: B010  # as above


PARTS: Mapping[str, Callable[[], None]] = {
    "recording": _recording,
    "headers": _headers,
    "departure": _departure,
    "counters": _counters,
    "upstream": _upstream,
}
