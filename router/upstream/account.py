"""The account of one gateway call: what its attempts used and cost, written to the ledger exactly once.

Everything is charged to the decision, failed attempts too. An attempt that the upstream refused, or never
got, costs nothing. One that it took and did not bill to us in an answer - a deadline passed, the client left -
is estimated. Where a price is unknown the cost is unknown.
"""

from collections.abc import Callable
from types import TracebackType

from router.deciding.choose import Decision
from router.engine import Engine
from router.errors import UpstreamFailed
from router.upstream.chat import Chat
from router.upstream.usage import Usage, estimate_usage
from storage.records import CallRow

Monotonic = Callable[[], float]


class Account:
    """Attempts of one decision. As a context manager it settles what an exception left open."""

    __slots__ = (
        "_chat", "_cost_usd", "_engine", "_estimated", "_input_tokens", "_monotonic", "_open", "_output_tokens",
        "_price_version", "_settled", "_started_s", "attempts", "characters", "decision", "first_token_s", "model",
    )  # fmt: skip

    def __init__(self, engine: Engine, decision: Decision, chat: Chat, monotonic: Monotonic) -> None:
        self.decision = decision
        self.model = decision.model
        """Model of the newest attempt."""
        self.attempts = 0
        self.characters = 0
        """Characters of the answer so far, for the estimate."""
        self.first_token_s: float | None = None
        self._engine = engine
        self._chat = chat
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

    def begin(self, model: str) -> None:
        """An attempt starts; until it is closed it counts as taken by the upstream."""
        self.model = model
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

    def charge(self, usage: Usage | None) -> Usage:
        """Close the attempt with its usage, or with an estimate."""
        self._open = False
        usage = usage or estimate_usage(self._chat.messages, self.characters)
        price = self._engine.price(self.model)
        cost_usd = usage.cost_usd(price)
        self._cost_usd = None if cost_usd is None or self._cost_usd is None else self._cost_usd + cost_usd
        self._estimated |= usage.estimated
        self._input_tokens = (self._input_tokens or 0) + usage.input_tokens
        self._output_tokens = (self._output_tokens or 0) + usage.output_tokens
        self._price_version = price.version if price is not None else ""
        return usage

    def lost(self) -> None:
        """Close the attempt, if it is open, with an estimate: the upstream took it and gave no answer."""
        if self._open:
            self.charge(None)

    def leave(self, usage: Usage | None) -> None:
        """The client left: no error of the model, and the answer so far is paid for."""
        self.charge(usage)
        self.settle(None)

    def settle(self, error: str | None) -> None:
        """Queue the call row; only the first time counts. `error` is what the decision is blamed for."""
        if self._settled:
            return
        self._settled = True
        self.lost()
        self._engine.recorder.finished(self._row(error))

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
        )

    def __enter__(self) -> "Account":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A cancelled call was given up by its client: no error of the model. A bug is one, of ours."""
        if isinstance(error, Exception) and not isinstance(error, UpstreamFailed):
            self.settle("internal_error")
        elif error is not None:
            self.settle(None)
