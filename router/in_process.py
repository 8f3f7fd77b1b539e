"""The library's face: the engine in process, without a server.

The planner runs in a daemon thread (`tick="auto"`) or only when `tick()` is called.
"""

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from router.clock import Clock, machine_clock
from router.config.document import Document
from router.deciding.choose import Decision, RouteRequest
from router.deciding.covariate import check_covariate
from router.deciding.needs import asked_needs
from router.deciding.signing import load_signer
from router.engine import Engine
from router.errors import Conflict
from router.recording.feedback import FeedbackItem
from router.steering.control import Control
from storage.errors import StoreError
from storage.memory.store import MemoryStore
from storage.open import open_store
from storage.records import FeedbackReply
from storage.store import Store

if TYPE_CHECKING:
    from router.steering.planner import Planner

WORKER_TTL_MS = 60_000


class Router:
    """Routes requests, takes feedback, and reports; one per process is enough, from any thread."""

    def __init__(
        self,
        store: Store,
        *,
        store_url: str = "memory:",
        signing_key: str | None = None,
        clock: Clock = machine_clock,
        tick: Literal["auto", "manual"] = "auto",
    ) -> None:
        """Use an open store that holds a configuration; `Router.open` does that for files."""
        self._store = store
        self._clock = clock
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        automatic = tick == "auto"
        self._worker = store.claim_worker(self._holder, clock(), WORKER_TTL_MS)
        self._engine = Engine(
            store, load_signer(store_url, signing_key), self._worker, clock, follow=automatic,
            behind=automatic or not isinstance(store, MemoryStore),
        )  # fmt: skip
        self._planner: Planner | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if not store_url.startswith("memory:"):
            threading.Thread(target=self._keep_number, name="pointsman-number", daemon=True).start()
        if automatic:
            self._thread = threading.Thread(target=self._plan, name="pointsman-planner", daemon=True)
            self._thread.start()

    @classmethod
    def open(
        cls,
        config: str | Path | Document,
        store: str = "pointsman.sqlite",
        *,
        signing_key: str | None = None,
        clock: Clock = machine_clock,
        tick: Literal["auto", "manual"] = "auto",
        start: bool = False,
    ) -> Self:
        """Open a store and seed it from a configuration file if it is empty; `start` starts its drafts.

        An existing store keeps its own configuration: `pointsman plan` shows how a file differs.
        """
        from router.applying.classifier_file import with_classifier
        from router.applying.file import read_document
        from router.applying.plan import seed

        document = (
            with_classifier(config, Path()) if isinstance(config, Document) else read_document(Path(config))
        )
        opened = open_store(store)
        if opened.state().config is None:
            seed(opened, document, clock, "library")
        router = cls(opened, store_url=store, signing_key=signing_key, clock=clock, tick=tick)
        if start:
            router.start_drafts()
        return router

    @property
    def control(self) -> Control:
        """The acting use cases: create, start, pause, stop, promote, roll back, set routes."""
        return Control(self._store, self._clock)

    def start_drafts(self) -> None:
        """Start every draft whose task is free."""
        for row in self.control.experiments():
            if row.state == "draft":
                try:
                    self.control.start(row.name, "library")
                except Conflict:
                    continue
        self._engine.refresh()

    def route(
        self,
        task: str | None = None,
        *,
        unit: str | None = None,
        session: str | None = None,
        user: str | None = None,
        trace: str | None = None,
        metadata: Mapping[str, str] | None = None,
        text: str = "",
        override: str | None = None,
        tier: int | None = None,
        covariate: float | None = None,
        max_cost: float | None = None,
        latency: Literal["interactive", "batch"] | None = None,
        residency: str | None = None,
        language: str | None = None,
        domain: str | None = None,
        skills: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        needs: Mapping[str, bool | int] | None = None,
    ) -> Decision:
        """Decide which model serves a request; raises InvalidRequest for a model or tier nobody declared.

        `covariate` is a number known about the unit beforehand, such as its reward of last month. What follows it
        narrows the models to those that may serve; `needs` says what the request will carry, as `{"tools": True}`.
        In mode shadow the decision may carry a `copy`: a further model to ask the same (docs/shadow.md).
        """
        known = None if covariate is None else check_covariate(covariate)
        asked = asked_needs(max_cost, latency, residency, language, domain, skills, tags, needs)
        return self._engine.route(
            RouteRequest(
                task, metadata or {}, text, unit, session, user, override, tier, known, asked, trace
            ),
            offering=True,
        )

    def feedback(
        self,
        decision_id: str,
        value: float | None = None,
        *,
        metric: str | None = None,
        cost_usd: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        latency_ms: float | None = None,
        error: bool | str | None = None,
        misrouted: bool | None = None,
        idempotency_key: str | None = None,
        occurred_at: datetime | None = None,
        comment: str = "",
    ) -> FeedbackReply:
        """Report what came back; durable and counted once when this returns. Raises StoreDown otherwise."""
        item = FeedbackItem(
            decision_id=decision_id,
            metric=metric,
            value=None if value is None else float(value),
            cost_usd=None if cost_usd is None else float(cost_usd),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            latency_ms=None if latency_ms is None else float(latency_ms),
            error=error,
            misrouted=misrouted,
            idempotency_key=idempotency_key,
            occurred_at=occurred_at,
            comment=comment,
        )
        return self._engine.give_feedback([item])[0]

    def feedback_many(self, items: Sequence[FeedbackItem]) -> list[FeedbackReply]:
        """Report what came back of many decisions in one commit, which costs far less than one for each."""
        return self._engine.give_feedback(items)

    def tick(self) -> bool:
        """Look at every running experiment once; False while another process is the planner."""
        from router.steering.planner import Planner

        if self._planner is None:
            self._planner = Planner(self._store, self._holder, self._clock)
        self._engine.recorder.flush()
        acted = self._planner.run_once()
        self._engine.refresh()
        return acted

    def report(self, experiment: str) -> dict[str, object]:
        """The report document of an experiment, as fresh as the ledger."""
        from router.steering.look import report_document

        self._engine.recorder.flush()
        return report_document(self._store, experiment, self._clock())

    def close(self) -> None:
        """Commit what is queued and let go of the store."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._engine.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_number(self) -> None:
        """Renew the worker number, without which decision numbers would not be unique among processes."""
        while not self._stop.wait(WORKER_TTL_MS / 3_000):
            try:
                number = self._store.claim_worker(self._holder, self._clock(), WORKER_TTL_MS)
            except StoreError:
                continue
            if number != self._worker:
                self._worker = number
                self._engine.renumber(number)

    def _plan(self) -> None:
        from router.steering.planner import run_forever

        run_forever(self._store, self._holder, self._clock, self._stop)
