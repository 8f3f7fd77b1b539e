"""The account of one gateway call: its attempts, written to the ledger exactly once.

What went another way than one good answer - failed attempts, a refusal, a client that left - is written to the
log as well, with the attempts in order. Models that were passed over while they rest, or at a limit, stand in the
ledger's trail only: an outage would fill the log.

Everything is charged to the decision, failed attempts too (router.upstream.attempt says what they cost).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from router.availability.fleet import Visit
from router.availability.quotas import NOTHING, Need, Ticket
from router.config.prices import ListPrice
from router.deciding.choose import Decision
from router.engine import Engine
from router.errors import UpstreamFailed
from router.upstream.attempt import Attempt, Monotonic
from router.upstream.bill import Bill
from router.upstream.call import Call
from router.upstream.trail import LEFT, REFUSED, SERVED, Trail
from router.upstream.usage import estimate_usage
from storage.records import CallRow

LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
OUTPUT_AHEAD = 500
"""Tokens of an answer that are reserved at most: what clients allow is mostly far from what they get."""
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
        "_attempts", "_bill", "_budgeted", "_call", "_engine", "_held_s", "_input_ahead", "_left", "_monotonic",
        "_on_end", "_presence", "_settled", "_trail", "_waited_s", "attempt", "decision",
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
        self.attempt: Attempt | None = None
        """The one that answers, or the newest."""
        self._presence = presence
        self._on_end = on_end
        self._left = False
        self._trail = Trail(monotonic)
        self._attempts: list[Attempt] = []
        self._bill = Bill()
        self._budgeted: list[Ticket] = []
        self._input_ahead: int | None = None
        self._engine = engine
        self._call = call
        self._monotonic = monotonic
        self._waited_s = 0.0
        self._held_s: float | None = None
        self._settled = False

    @property
    def call(self) -> Call:
        """What the client asked for."""
        return self._call

    @property
    def left(self) -> bool:
        """The client is gone."""
        return self._left or self._presence.gone

    @property
    def attempts(self) -> int:
        """How many there were so far."""
        return len(self._attempts)

    @property
    def cost_usd(self) -> float | None:
        """Cost of all attempts so far."""
        return self._bill.cost_usd

    @property
    def model(self) -> str:
        """Who answers, or was tried last."""
        return self.decision.model if self.attempt is None else self.attempt.model

    @property
    def fallback_from(self) -> str | None:
        """The decided model, where another one is serving."""
        return self.decision.model if self.model != self.decision.model else None

    def remaining_s(self) -> float:
        """What is left of the decision's time."""
        return self.decision.timeout_s - (self._monotonic() - self._trail.started_s - self._in_line_s())

    def hold(self) -> None:
        """The request waits in a line from now on, at no time of its own."""
        self._held_s = self._monotonic()

    def go_on(self) -> None:
        """It waits no longer."""
        self._waited_s, self._held_s = self._in_line_s(), None

    def _in_line_s(self) -> float:
        return self._waited_s + (0.0 if self._held_s is None else self._monotonic() - self._held_s)

    def begin(self, visit: Visit) -> Attempt:
        """An attempt starts."""
        attempt = Attempt(self.decision, self._call, visit, self._bill, self._trail, self._monotonic)
        self._attempts.append(attempt)
        self.attempt = attempt
        return attempt

    def passed(self, where: str, code: str) -> None:
        """A step of the trail; what is not tried is passed over with a reason."""
        self._trail.add(where, code)

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
        self._budgeted.append(ticket)

    def leave(self) -> None:
        """The client left: no error of the model, and the answer so far is paid for."""
        self._left = True
        self.settle(None)

    def settle(self, error: str | None) -> None:
        """Queue the call row; only the first time counts. `error` is what the decision is blamed for."""
        if self._settled:
            return
        self._settled = True
        for attempt in self._attempts:
            self._end(attempt, error)
        used_usd = self._bill.cost_usd or 0.0
        for ticket in self._budgeted:
            ticket.settle(Need(0, used_usd))
            used_usd = NOTHING.usd
        row = self._row(error)
        self._engine.recorder.finished(row)
        if self._on_end is not None:
            self._on_end(self, row)
        plain = error is None and len(self._attempts) == 1 and not self.left
        if not plain or self._attempts[0].refused:
            self._tell(error)

    def _end(self, attempt: Attempt, error: str | None) -> None:
        """What is left open of an attempt ends with the request."""
        attempt.lost()
        if error is not None:
            attempt.failed(error)
        elif self.left:
            attempt.end(LEFT)
        elif attempt.refused:
            attempt.end(REFUSED)
        else:
            attempt.end(SERVED if self._trail or attempt.site.id != self.decision.model else None)

    def _tell(self, error: str | None) -> None:
        """One line of what happened, for whoever looks for the reason of a cost or an error."""
        decision, finish = self.decision, "" if self.attempt is None else self.attempt.finish
        tried = self._trail.failures()
        _log.info(
            "decision %d (task %s, model %s) %s by %s (%s) after %d attempts%s%s%s",
            decision.number, decision.task, decision.model, f"failed with {error}" if error else "served", self.model,
            self._dialect(), self.attempts, f" [{tried}]" if tried else "",
            f", finish_reason {finish}" if finish else "", ", its client left" if self.left else "",
        )  # fmt: skip

    def _dialect(self) -> str:
        model = self._engine.snapshot.models.get(self.model)
        return model.dialect if model is not None else "no longer declared"

    def _row(self, error: str | None) -> CallRow:
        decision, bill, model = self.decision, self._bill, self.model
        started_s = self._trail.started_s + self._in_line_s()
        first_token_s = None if self.attempt is None else self.attempt.first_token_s
        return CallRow(
            number=decision.number,
            experiment_id=decision.experiment_id,
            epoch=decision.epoch,
            arm=decision.arm,
            unit=decision.unit,
            served_model=model,
            diverted=error is None and model != decision.model,
            error=error,
            cost_usd=bill.cost_usd,
            cost_estimated=bill.estimated,
            price_version=bill.price_version,
            input_tokens=bill.input_tokens,
            output_tokens=bill.output_tokens,
            latency_ms=(self._monotonic() - started_s) * 1e3,
            first_token_ms=None if first_token_s is None else (first_token_s - started_s) * 1e3,
            attempts=len(self._attempts),
            finished_at_ms=self._engine.clock(),
            trail=self._trail_text(),
        )

    def _trail_text(self) -> str:
        """The trail for the ledger; empty where the decided model answered at once, as nearly always."""
        if not self._trail and self._attempts:
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
