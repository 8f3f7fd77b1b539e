"""The account of one gateway call: what its attempts used and cost, written to the ledger exactly once.

What went another way than one good answer - failed attempts, a refusal, a client that left - is written to the
log as well, with the attempts in order. Models that were passed over while they rest, or at a limit, stand in the
ledger's trail only: an outage would fill the log.

Everything is charged to the decision, failed attempts too. An attempt that the upstream refused, or never
got, costs nothing. One that it took and did not bill to us in an answer - a deadline passed, the client left -
is estimated. Where a price is unknown the cost is unknown.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from router.availability.fleet import Visit
from router.availability.quotas import Need, Ticket
from router.config.prices import ListPrice
from router.deciding.choose import Decision
from router.engine import Engine
from router.errors import UpstreamFailed
from router.upstream.call import Call
from router.upstream.trail import LEFT, SERVED, Trail
from router.upstream.usage import Usage, estimate_usage
from storage.records import CallRow

Monotonic = Callable[[], float]
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
OUTPUT_AHEAD = 500
"""Tokens of an answer that are reserved at most: what clients allow is mostly far from what they get."""
REFUSALS = ("content_filter",)
"""Ends of an answer by which a model, or its provider's filter, refused it."""
_log = logging.getLogger("pointsman.calls")


class Presence(Protocol):
    """Whether the client is still there."""

    @property
    def gone(self) -> bool:
        """It has left."""


@dataclass(frozen=True, slots=True)
class _Unwatched:
    """A client that is taken to be there."""

    gone: bool = False


PRESENT: Presence = _Unwatched()
OnEnd = Callable[["Account", CallRow], None]


class Account:
    """Attempts of one decision. As a context manager it settles what an exception left open."""

    __slots__ = (
        "_budgeted",
        "_call",
        "_cost_usd",
        "_engine",
        "_estimated",
        "_input_ahead",
        "_input_tokens",
        "_left",
        "_monotonic",
        "_on_end",
        "_open",
        "_output_tokens",
        "_presence",
        "_price_version",
        "_settled",
        "_started_s",
        "_trail",
        "_visit",
        "attempts",
        "characters",
        "decision",
        "finish",
        "first_token_s",
        "model",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        decision: Decision,
        call: Call,
        monotonic: Monotonic,
        presence: Presence = PRESENT,
        on_end: "OnEnd | None" = None,
    ) -> None:
        """`on_end` is told of the call row once it is queued."""
        self.decision = decision
        self.model = decision.model
        """Model of the newest attempt."""
        self.attempts = 0
        self.characters = 0
        """Characters of the answer so far, for the estimate."""
        self.first_token_s: float | None = None
        self.finish = ""
        """Why the model ended its answer, in words of the chat API."""
        self._presence = presence
        self._on_end = on_end
        self._left = False
        self._trail = Trail()
        self._visit: Visit | None = None
        self._budgeted: Ticket | None = None
        self._input_ahead: int | None = None
        self._engine = engine
        self._call = call
        self._monotonic = monotonic
        self._started_s = monotonic()
        self._open = False
        self._settled = False
        self._cost_usd: float | None = 0.0
        self._estimated = False
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None
        self._price_version = ""

    @property
    def call(self) -> Call:
        """What the client asked for."""
        return self._call

    @property
    def left(self) -> bool:
        """The client is gone."""
        return self._left or self._presence.gone

    @property
    def cost_usd(self) -> float | None:
        """Cost of all attempts so far."""
        return self._cost_usd

    @property
    def fallback_from(self) -> str | None:
        """The decided model, where another one is serving."""
        return self.decision.model if self.model != self.decision.model else None

    def remaining_s(self) -> float:
        """What is left of the decision's time."""
        return self.decision.timeout_s - (self._monotonic() - self._started_s)

    def begin(self, visit: Visit) -> None:
        """An attempt starts; until it is closed it counts as taken by the upstream."""
        self._visit = visit
        self.model = visit.site.name
        self.attempts += 1
        self.characters = 0
        self.first_token_s = None
        self._open = True

    def wrote(self, characters: int) -> None:
        """A piece of the answer arrived."""
        if characters and self.first_token_s is None:
            self.first_token_s = self._monotonic()
        self.characters += characters

    def free(self) -> None:
        """The attempt was refused or never arrived: it costs nothing."""
        self._open = False

    def answered(self) -> None:
        """The attempt's answer is there, or begins."""
        if self._visit is not None:
            self._visit.answered(self._monotonic())

    def failed(self, code: str, retry_after_s: float | None = None) -> None:
        """The attempt gave no answer."""
        visit = self._visit
        if visit is None:
            return
        self.passed(visit.site.id, code)
        visit.failed(code, self._monotonic(), retry_after_s)
        self._leave_site()

    def passed(self, where: str, code: str) -> None:
        """A step of the trail; what is not tried is passed over with a reason."""
        self._trail.add(where, code, self._monotonic() - self._started_s)

    def _leave_site(self) -> None:
        visit, self._visit = self._visit, None
        if visit is not None:
            visit.end()

    def charge(self, usage: Usage | None) -> Usage:
        """Close the attempt with its usage, or with an estimate."""
        self._open = False
        usage = usage or estimate_usage(self._call.prompt, self.characters)
        price = self._price()
        cost_usd = usage.cost_usd(price)
        if self._visit is not None:
            self._visit.used(usage.input_tokens + usage.output_tokens, cost_usd)
        self._cost_usd = None if cost_usd is None or self._cost_usd is None else self._cost_usd + cost_usd
        self._estimated |= usage.estimated
        self._input_tokens = (self._input_tokens or 0) + usage.input_tokens
        self._output_tokens = (self._output_tokens or 0) + usage.output_tokens
        self._price_version = price.version if price is not None else ""
        return usage

    def _price(self) -> ListPrice | None:
        """What the place of the newest attempt charges."""
        return self._engine.price(self.model) if self._visit is None else self._visit.site.price

    def need(self, price: ListPrice | None) -> Need:
        """What an attempt is expected to use, for limits; longer answers are settled once they are there."""
        if self._input_ahead is None:
            self._input_ahead = estimate_usage(self._call.prompt, 0).input_tokens
        stated = [value for name in LENGTHS if type(value := self._call.fields.get(name)) is int]
        output = max(0, min([OUTPUT_AHEAD, *stated]))
        cost_usd = price.cost_usd(self._input_ahead, output) if price is not None else None
        return Need(self._input_ahead + output, cost_usd or 0.0)

    def reserve(self, ticket: Ticket) -> None:
        """Settle this with the cost of all attempts at the end."""
        self._budgeted = ticket

    def lost(self) -> None:
        """Close the attempt, if it is open, with an estimate: the upstream took it and gave no answer."""
        if self._open:
            self.charge(None)

    def leave(self, usage: Usage | None) -> None:
        """The client left: no error of the model, and the answer so far is paid for."""
        self._left = True
        self.charge(usage)
        self.settle(None)

    def settle(self, error: str | None) -> None:
        """Queue the call row; only the first time counts. `error` is what the decision is blamed for."""
        if self._settled:
            return
        self._settled = True
        self.lost()
        self._end_visit(error)
        if self._budgeted is not None:
            self._budgeted.settle(Need(0, self._cost_usd or 0.0))
        row = self._row(error)
        self._engine.recorder.finished(row)
        if self._on_end is not None:
            self._on_end(self, row)
        if error is not None or self.attempts > 1 or self.left or self.finish in REFUSALS:
            self._tell(error)

    def _end_visit(self, error: str | None) -> None:
        """The last attempt's part of the trail, if that is open."""
        if self._visit is None:
            return
        if error is not None:
            self.failed(error)
            return
        where = self._visit.site.id
        if self._trail or self.left or where != self.decision.model:
            self.passed(where, LEFT if self.left else SERVED)
        self._leave_site()

    def _tell(self, error: str | None) -> None:
        """One line of what happened, for whoever looks for the reason of a cost or an error."""
        decision = self.decision
        tried = self._trail.failures()
        _log.info(
            "decision %d (task %s, model %s) %s by %s (%s) after %d attempts%s%s%s",
            decision.number, decision.task, decision.model, f"failed with {error}" if error else "served", self.model,
            self._dialect(), self.attempts, f" [{tried}]" if tried else "",
            f", finish_reason {self.finish}" if self.finish else "", ", its client left" if self.left else "",
        )  # fmt: skip

    def _dialect(self) -> str:
        model = self._engine.snapshot.models.get(self.model)
        return model.dialect if model is not None else "no longer declared"

    def _row(self, error: str | None) -> CallRow:
        decision, started_s = self.decision, self._started_s
        first_token_s = self.first_token_s
        return CallRow(
            number=decision.number,
            experiment_id=decision.experiment_id,
            epoch=decision.epoch,
            arm=decision.arm,
            unit=decision.unit,
            served_model=self.model,
            diverted=error is None and self.model != decision.model,
            error=error,
            cost_usd=self._cost_usd,
            cost_estimated=self._estimated,
            price_version=self._price_version,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
            latency_ms=(self._monotonic() - started_s) * 1e3,
            first_token_ms=None if first_token_s is None else (first_token_s - started_s) * 1e3,
            attempts=self.attempts,
            finished_at_ms=self._engine.clock(),
            trail=self._trail_text(),
        )

    def _trail_text(self) -> str:
        """The trail for the ledger; empty where the decided model answered at once, as nearly always."""
        if not self._trail and self.attempts:
            return ""
        return self._trail.text()

    def __enter__(self) -> "Account":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A cancelled call was given up by its client: no error of the model, and no answer to compare with a copy's.

        A bug is an error, of ours.
        """
        if isinstance(error, Exception) and not isinstance(error, UpstreamFailed):
            self.settle("internal_error")
        elif error is not None:
            self._left |= not isinstance(error, Exception)
            self.settle(None)
