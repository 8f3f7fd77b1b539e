"""Models that policies chose, by decision: what tokens that are reported later were billed for.

A decision's id names its candidate, and for a policy that says nothing of the price. Decisions of this process are
remembered, the newest of them; of others the ledger is asked.
"""

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress

from router.deciding.decision_id import Signer
from router.deciding.snapshot import Snapshot
from router.errors import StoreDown
from router.recording.feedback import FeedbackItem
from storage.errors import StoreError
from storage.records import Story

CAPACITY = 100_000


class ChosenModels:
    """A bounded memory of decisions, the oldest out first; safe for several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._models: OrderedDict[int, str] = OrderedDict()

    def note(self, number: int, model: str) -> None:
        """Remember the model of a decision."""
        self._models[number] = model
        if len(self._models) > self._capacity:
            with suppress(KeyError):  # another thread may have taken the last one out
                self._models.popitem(last=False)

    def learn(self, asked: "Future[Story | None]", timeout_s: float) -> None:
        """Remember the model that the store names; raises StoreDown where it does not answer in time.

        A decision that it does not know (yet) leaves its cost unknown.
        """
        try:
            story = asked.result(timeout_s)
        except (StoreError, TimeoutError):
            raise StoreDown("the ledger did not say which model the policy had chosen; try again") from None
        if story is not None:
            number, model = story.decision["number"], story.decision["model"]
            assert isinstance(number, int)
            assert isinstance(model, str)
            self.note(number, model)

    def get(self, number: int) -> str | None:
        """The model of a decision, if it is remembered."""
        return self._models.get(number)


def unknown_models(
    items: Iterable[FeedbackItem], signer: Signer, snapshot: Snapshot, known: ChosenModels
) -> list[tuple[int, int]]:
    """Experiment and number of the decisions whose tokens can be priced only once their model is known."""
    unknown = []
    for item in items:
        decision = signer.verify(item.decision_id) if item.input_tokens is not None else None
        if decision is None or item.cost_usd is not None:
            continue
        definition = snapshot.definitions.get(decision.experiment_id)
        of_policy = definition is not None and definition.candidates[decision.arm] in snapshot.policies
        if of_policy and known.get(decision.number) is None:
            unknown.append((decision.experiment_id, decision.number))
    return unknown
