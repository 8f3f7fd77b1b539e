"""The classifier over HTTP that the configuration names: asked before a choice, replaced when another is named."""

from typing import TYPE_CHECKING

from router.classifying.guess import Guess
from router.clock import Clock
from router.config.classifier import Classifier
from router.deciding.choose import RouteRequest, ruled_task
from router.deciding.snapshot import Snapshot

if TYPE_CHECKING:
    from router.classifying.asked import AskedClassifier

DEADLINE_MS, CACHE = 50, 10_000


class Asking:
    """Guesses for the requests that need one; loads and starts nothing where no server is named."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settings: Classifier | None = None
        self._server: AskedClassifier | None = None

    def follow(self, settings: Classifier | None) -> None:
        """Ask the server that the configuration names now, if any."""
        if settings == self._settings:
            return
        before, self._settings = self._server, settings
        self._server = (
            None if settings is None or settings.url is None else self._made(settings, settings.url)
        )
        if before is not None:
            before.close()

    def guess(self, snapshot: Snapshot, request: RouteRequest) -> Guess | None:
        """What the server takes the text for, if it has to be asked and answers in time."""
        server = self._server
        return server.guess(request.text) if server is not None and _open(snapshot, request) else None

    async def guess_async(self, snapshot: Snapshot, request: RouteRequest) -> Guess | None:
        """The same for an event loop."""
        server = self._server
        return (
            await server.guess_async(request.text)
            if server is not None and _open(snapshot, request)
            else None
        )

    def close(self) -> None:
        """End the asking."""
        self.follow(None)

    def _made(self, settings: Classifier, url: str) -> "AskedClassifier":
        from router.classifying.asked import AskedClassifier

        deadline_ms = DEADLINE_MS if settings.deadline_ms is None else settings.deadline_ms
        return AskedClassifier(
            url, deadline_ms, CACHE if settings.cache is None else settings.cache, self._clock
        )


def _open(snapshot: Snapshot, request: RouteRequest) -> bool:
    """Whether neither the caller nor a rule names the task or the model."""
    return request.override is None and snapshot.rules.needs_guess(
        request.task or ruled_task(snapshot, request), request.metadata, request.text
    )
