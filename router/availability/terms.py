"""Terms: what a task asks of availability, parents' settings and the file's included."""

from dataclasses import dataclass

from experiments.definition.names import ancestors
from router.config.availability import Budget, FallbacksOn, Hedge, Timeouts
from router.config.document import Document
from router.config.task import Queue, Task
from router.deciding.snapshot import ceiling
from router.deciding.tasks import DEFAULT_TASK


@dataclass(frozen=True, slots=True)
class Terms:
    """Settings of one task."""

    retries: int
    timeouts: Timeouts | None = None
    fallbacks_on: FallbacksOn | None = None
    budget: Budget | None = None
    queue: Queue | None = None
    """How batch requests wait at a limit."""
    budget_of: str = ""
    """Task that states the budget: its children spend from the same money."""
    max_cost_usd: float | None = None
    """Most that one request may cost by the price list."""
    ceiling_of: str = ""
    """Task that states it."""
    hedge: Hedge | None = None


def terms_of(task: str, document: Document) -> Terms:
    """The terms of a task; each is the nearest parent's that states it."""
    retries, timeouts, fallbacks_on = document.retries, None, None
    budget, budget_of, hedge, queue = None, "", None, document.queue
    for name in reversed(ancestors(task)) if task != DEFAULT_TASK else ():
        settings = document.tasks.get(name, Task())
        retries = retries if settings.retries is None else settings.retries
        timeouts = settings.timeouts or timeouts
        fallbacks_on = settings.fallbacks_on or fallbacks_on
        hedge = settings.hedge or hedge
        queue = settings.queue or queue
        if settings.budget is not None:
            budget, budget_of = settings.budget, name
    ceiling_usd, ceiling_of = ceiling(task, document)
    return Terms(retries, timeouts, fallbacks_on, budget, queue, budget_of, ceiling_usd, ceiling_of, hedge)
