"""One attempt: one call of one site, from its start to its end, whatever that is.

Until it is closed it counts as taken by the upstream, and is paid. One that the upstream refused, or never got,
costs nothing. One that it took and did not bill to us in an answer - a deadline passed, the client left, another
attempt was faster - is estimated.
"""

from collections.abc import Callable

from router.availability.fleet import Visit
from router.deciding.choose import Decision
from router.upstream.bill import Bill
from router.upstream.call import Call
from router.upstream.refusals import REFUSALS
from router.upstream.trail import LOST_RACE, Trail
from router.upstream.usage import Usage, estimate_usage

Monotonic = Callable[[], float]


class Attempt:
    """What one call of one site used, and what it says of the site."""

    __slots__ = (
        "_bill", "_call", "_monotonic", "_trail", "_unpaid", "_visit", "characters", "decision", "finish",
        "first_token_s", "holds", "model", "on_answer", "site",
    )  # fmt: skip

    def __init__(
        self, decision: Decision, call: Call, visit: Visit, bill: Bill, trail: Trail, monotonic: Monotonic
    ) -> None:
        self.decision = decision
        self.site = visit.site
        self.model = visit.site.name
        self.characters = 0
        """Characters of the answer so far, for the estimate."""
        self.first_token_s: float | None = None
        self.finish = ""
        """Why the model ended its answer, in words of the chat API."""
        self.holds = False
        """A refusal is not the answer yet; so a stream's head is held back until it says something."""
        self.on_answer: Callable[[Attempt], None] | None = None
        """Told at the moment of the answer, where another attempt may run beside this one."""
        self._call = call
        self._visit: Visit | None = visit
        self._bill = bill
        self._trail = trail
        self._monotonic = monotonic
        self._unpaid = True

    @property
    def refused(self) -> bool:
        """The model refused in its answer."""
        return self.finish in REFUSALS

    def wrote(self, characters: int) -> None:
        """A piece of the answer arrived."""
        if characters and self.first_token_s is None:
            self.first_token_s = self._monotonic()
        self.characters += characters

    def free(self) -> None:
        """It was refused or never arrived: it costs nothing."""
        self._unpaid = False

    def charge(self, usage: Usage | None) -> Usage:
        """Close it with its usage, or with an estimate."""
        self._unpaid = False
        usage = usage or estimate_usage(self._call.prompt, self.characters)
        cost_usd = self._bill.add(usage, self.site.price)
        if self._visit is not None:
            self._visit.used(usage.input_tokens + usage.output_tokens, cost_usd)
        return usage

    def lost(self, usage: Usage | None = None) -> None:
        """Close it, if it is open: what came so far is paid for."""
        if self._unpaid:
            self.charge(usage)

    def replied(self) -> None:
        """The site did its work, whatever the answer says."""
        if self._visit is not None:
            self._visit.answered(self._monotonic())

    def answered(self) -> None:
        """The answer is there, or begins."""
        if self._visit is not None:
            self._visit.answered(self._monotonic())
        if self.on_answer is not None:
            self.on_answer(self)

    def failed(self, code: str, retry_after_s: float | None = None) -> None:
        """It gave no answer."""
        if self._visit is None:
            return
        self._trail.add(self.site.id, code)
        self._visit.failed(code, self._monotonic(), retry_after_s)
        self.end(None)

    def beaten(self, slow: bool) -> None:
        """Another attempt answered first: no failure of this site, but a word on its speed if it was `slow`."""
        if self._visit is None:
            return
        self.lost()
        self._trail.add(self.site.id, LOST_RACE)
        if slow:
            self._visit.outrun(self._monotonic())
        self.end(None)

    def end(self, code: str | None) -> None:
        """It is over without a failure; `code` is the step of the trail, if that is wanted."""
        visit, self._visit = self._visit, None
        if visit is None:
            return
        if code is not None:
            self._trail.add(self.site.id, code)
        visit.end()
