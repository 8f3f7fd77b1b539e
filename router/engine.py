"""The engine: one process's view of the store, and the two things done with it: route and give feedback.

Routing reads one immutable snapshot. Only a sticky unit that is not held in memory costs an indexed read,
for at most 50 ms; when that fails the decision is taken all the same and flagged as degraded.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, get_args

from router.classifying.guess import Guess
from router.clock import Clock, machine_clock
from router.config.prices import ListPrice
from router.deciding.asking import Asking
from router.deciding.choose import Decision, Placement, RouteRequest, choose
from router.deciding.copies import copied, offered
from router.deciding.decision_id import Numbers, Signer
from router.deciding.eligibility import estimated_usd
from router.deciding.kept import Door, KeptConversations
from router.deciding.needs import counted
from router.deciding.place import place
from router.deciding.policy import NO_ANSWERS, Answers, By
from router.deciding.snapshot import Snapshot, build_snapshot
from router.deciding.tasks import TaskReason
from router.deciding.units import HeldUnits, Key
from router.errors import Conflict, StoreDown
from router.recording.chosen_models import ChosenModels, unknown_models
from router.recording.direct import DirectRecorder
from router.recording.feedback import FeedbackItem, feedback_row
from router.recording.offers import Offers
from router.recording.pairs import Spending
from router.recording.recorder import Recorder
from storage.errors import StoreError, StoreUnavailable
from storage.records import Assignment, FeedbackReply, FeedbackRow, FeedbackState, Story
from storage.store import Store

POLL_S = 0.25
TIERS = 10
"""Tiers 1 to 9, and 0 for models without one."""
STALE_MS = 1_500
"""Age at which a snapshot is no longer trusted; less than the grace of epochs (experiments.evidence.epochs)."""
LOOK_UP_S = 0.05
LOOK_BACK_S = 1.0
"""Longest wait of feedback for the model that a policy chose."""
_FOR_EVER = 2**62
_Answer = TypeVar("_Answer")
_FORGED = FeedbackReply(FeedbackState.FORGED, None, "the decision id carries no valid signature")


@dataclass(slots=True)
class _LookUp:
    """A placement that may need the store to name the unit's first candidate."""

    placement: Placement
    key: Key | None = None
    held: Assignment | None = None
    door: Door | None = None
    """Where a conversation may belong to an experiment that has ended, and the store must be asked."""


class Engine:
    """Routes requests and takes feedback; safe for several threads, and for one event loop beside them."""

    def __init__(
        self, store: Store, signer: Signer, worker: int = 0, clock: Clock = machine_clock, follow: bool = True,
        behind: bool = True,
    ) -> None:  # fmt: skip
        """`behind=False` reads and commits in the caller's thread, for a store in memory without other writers."""
        self.store = store
        self.clock = clock
        self.recorder: Recorder | DirectRecorder = (Recorder if behind else DirectRecorder)(store, clock)
        self._behind = behind
        self.snapshot: Snapshot = build_snapshot(store.state())
        self._asking = Asking(clock)
        self._asking.follow(self.snapshot.document)
        self.found_by: dict[TaskReason, int] = dict.fromkeys(get_args(TaskReason), 0)
        """Requests by what named their task."""
        self.tiers: list[int] = [0] * TIERS
        """Decisions by the tier of their model; the first are those without one."""
        self._signer = signer
        self._numbers = Numbers(worker, clock)
        self._held = HeldUnits()
        self._kept = KeptConversations()
        self._offers = Offers(self._question, clock)
        self._chosen = ChosenModels()
        self.chosen_by: dict[By, int] = dict.fromkeys(get_args(By), 0)
        """Decisions that policies served, by what named the model."""
        self._trusted_until_ms = clock() + STALE_MS if follow else _FOR_EVER
        self._readers: ThreadPoolExecutor | None = None
        self._closing = threading.Event()
        self._follow = follow
        self._inherited = False
        os.register_at_fork(after_in_child=_marking(weakref.ref(self)))
        if follow:
            threading.Thread(target=self._poll, name="pointsman-follower", daemon=True).start()

    # Route

    def route(self, request: RouteRequest, offering: bool = False) -> Decision:
        """Decide and queue the decision; raises InvalidRequest for a model or tier that is not declared.

        `offering`: the caller calls models itself, and in mode shadow may be offered a copy.
        """
        guess, answers = self._asking.guess(self.snapshot, request), NO_ANSWERS
        if self.snapshot.asks_policies:
            answers = self._asking.answers(self.snapshot, request, guess)
        look_up = self._place(request, guess, answers)
        if look_up.door is not None:
            look_up = self._passed(look_up.door, self._ask(look_up.door), LOOK_UP_S)
        if look_up.key is None or look_up.held is not None:
            if offering and (money := self._money(look_up)) is not None:
                with suppress(StoreError, TimeoutError):
                    money.result(LOOK_UP_S)
            return self._decide(look_up, asked=request if offering else None)
        return self._decide_after(look_up, self._read(look_up.key))

    async def route_async(self, request: RouteRequest, offering: bool = False) -> Decision:
        """The same for an event loop, which goes on while a sticky unit is looked up."""
        guess, answers = await self._asking.guess_async(self.snapshot, request), NO_ANSWERS
        if self.snapshot.asks_policies:
            answers = await self._asking.answers_async(self.snapshot, request, guess)
        look_up = self._place(request, guess, answers)
        if look_up.door is not None:
            asking = self._ask(look_up.door)
            await _within_look_up(asking)
            look_up = self._passed(look_up.door, asking, 0)
        if look_up.key is None or look_up.held is not None:
            if offering and (money := self._money(look_up)) is not None:
                await _within_look_up(money)
            return self._decide(look_up, asked=request if offering else None)
        future = self._read(look_up.key)
        await _within_look_up(future)
        return self._decide_after(look_up, future, wait=False)

    def _place(self, request: RouteRequest, guess: Guess | None, answers: Answers) -> _LookUp:
        if self._inherited:
            raise Conflict(
                "this router was opened before a fork and shares its decision numbers; open one in the child"
            )
        placement = place(self.snapshot, request, guess, answers)
        self.found_by[placement.found.reason] += 1
        if placement.route.ended:
            door = self._kept.at_door(placement, request, self.clock(), self._held)
            if door.asked:
                return _LookUp(placement, None, None, door)
            placement = door.placement
        return self._at(placement)

    def _at(self, placement: Placement) -> _LookUp:
        """What the store must be asked about a unit of the live experiment."""
        experiment = placement.experiment
        if experiment is None or not experiment.sticky:
            return _LookUp(placement)
        key = (experiment.id, placement.digest)
        return _LookUp(placement, key, self._held.get(key, self.clock()))

    def _decide(
        self, look_up: _LookUp, degraded: bool = False, asked: RouteRequest | None = None
    ) -> Decision:
        """`asked` is a request whose caller may be offered a copy."""
        number = self._numbers.next()
        degraded = degraded or number >> 22 > self._trusted_until_ms
        decision = choose(look_up.placement, number, self._signer, look_up.held, degraded)
        if asked is not None and decision.copy_to:
            decision = self._offered(decision, asked)
        self.tiers[self.snapshot.tier_of.get(decision.model, 0)] += 1
        self.recorder.decided(decision.row())
        if decision.policy is not None and (chosen := decision.chosen) is not None:
            self.chosen_by[chosen.by] += 1
            self._chosen.note(number, decision.model)
        return decision

    def _decide_after(
        self, look_up: _LookUp, future: Future[Assignment | None], wait: bool = True
    ) -> Decision:
        """Decide with what the store knew in time; a new unit keeps what it gets now."""
        key = look_up.key
        assert key is not None
        try:
            look_up.held = future.result(LOOK_UP_S if wait else 0)
        except (StoreError, TimeoutError):
            return self._decide(look_up, degraded=True)
        if look_up.held is not None:
            self._held.confirm(key, look_up.held)
            return self._decide(look_up)
        decision = self._decide(look_up)
        if decision.experiment_id and not decision.degraded:
            assignment = Assignment(decision.epoch, decision.arm, decision.propensity)
            self._held.propose(key, assignment, decision.number >> 22)
        return decision

    def _ask(self, door: Door) -> "Future[dict[Key, Assignment | None]]":
        """Read the conversation's first rows in the experiments that have ended."""
        return self._reading(partial(self._first_rows, [key for key, _ in door.asked]))

    def _first_rows(self, keys: Sequence[Key]) -> dict[Key, Assignment | None]:
        return {key: self.store.assignment(*key) for key in keys}

    def _passed(self, door: Door, asked: "Future[dict[Key, Assignment | None]]", timeout_s: float) -> _LookUp:
        """Behind the door; where the store did not answer in time the conversation is served as a new one."""
        try:
            found = asked.result(timeout_s)
        except (StoreError, TimeoutError):
            return self._at(door.placement)
        return self._at(self._kept.answered(door, found, self.clock()))

    def _read(self, key: Key) -> "Future[Assignment | None]":
        return self._reading(partial(self.store.assignment, *key))

    def _reading(self, ask: Callable[[], _Answer]) -> "Future[_Answer]":
        """What the store answers: in the reader thread, or here, after everything that was decided so far."""
        if self._behind:
            if self._readers is None:
                self._readers = ThreadPoolExecutor(1, "pointsman-reader")
            return self._readers.submit(ask)
        future: Future[_Answer] = Future()
        try:
            self.recorder.flush()
            future.set_result(ask())
        except (StoreDown, StoreError) as error:
            future.set_exception(StoreUnavailable(str(error)))
        return future

    # Copies

    def copy(self, decision: Decision) -> Decision:
        """Decide the copy of a served request for its shadow candidate (`decision.copy_to`), and queue the decision."""
        candidate = self.snapshot.definitions[decision.experiment_id].candidates[decision.copy_to]
        copy = copied(decision, candidate, self._numbers.next(), self._signer)
        self.recorder.decided(copy.row())
        return copy

    def _money(self, look_up: _LookUp) -> "Future[Spending] | None":
        """What the ledger says of the money for copies, where one may be offered and nobody has asked lately."""
        experiment = look_up.placement.experiment
        if experiment is None or not experiment.copies:
            return None
        return self._offers.awaited(experiment.id)

    def _offered(self, decision: Decision, request: RouteRequest) -> Decision:
        """The decision with the offer of a copy, if the day's money allows for what the price list says of it."""
        snapshot = self.snapshot
        definition = snapshot.definitions[decision.experiment_id]
        candidate = definition.candidates[decision.copy_to]
        price = snapshot.prices.get(candidate)
        if price is None:
            return decision
        needs = counted(request.needs, request.text)
        listed_usd = estimated_usd(snapshot.models[candidate], price, needs)
        limit_usd = definition.shadow_usd_per_day or 0.0
        if listed_usd is None or not self._offers.afforded(decision.experiment_id, limit_usd, listed_usd):
            return decision
        served, copy = offered(decision, candidate, self._numbers.next(), self._signer)
        self.recorder.decided(copy.row())
        return served

    def _question(self, question: Callable[[Store], _Answer]) -> "Future[_Answer]":
        return self._reading(partial(question, self.store))

    async def ask_store(self, question: Callable[[Store], _Answer]) -> _Answer:
        """What the store answers, read beside the event loop; raises StoreError."""
        return await asyncio.wrap_future(self._question(question))

    # Feedback

    def give_feedback(self, items: Sequence[FeedbackItem]) -> list[FeedbackReply]:
        """Make feedback durable; replies in the order of `items`. Raises StoreDown, Overloaded, InvalidRequest."""
        for asked in self._look_back(items):
            self._chosen.learn(asked, LOOK_BACK_S)
        replies, rows = self._verify(items)
        return _merge(replies, self.recorder.record(rows) if rows else [])

    async def give_feedback_async(self, items: Sequence[FeedbackItem]) -> list[FeedbackReply]:
        """The same for an event loop."""
        for asked in self._look_back(items):
            await asyncio.wait([asyncio.wrap_future(asked)], timeout=LOOK_BACK_S)
            self._chosen.learn(asked, 0)
        replies, rows = self._verify(items)
        return _merge(replies, await asyncio.wrap_future(self.recorder.feedback(rows)) if rows else [])

    def _look_back(self, items: Sequence[FeedbackItem]) -> "list[Future[Story | None]]":
        """Ask the store for decisions of policies whose tokens are reported and whose model is not remembered."""
        if not self.snapshot.policies:
            return []
        unknown = unknown_models(items, self._signer, self.snapshot, self._chosen)
        return [self._reading(partial(self.store.story, *key)) for key in unknown]

    def _verify(self, items: Sequence[FeedbackItem]) -> tuple[list[FeedbackReply | None], list[FeedbackRow]]:
        """A reply for each forged item, a row for each other one."""
        now_ms = self.clock()
        replies: list[FeedbackReply | None] = []
        rows: list[FeedbackRow] = []
        definitions, verify = self.snapshot.definitions, self._signer.verify
        for index, item in enumerate(items):
            decision = verify(item.decision_id)
            if decision is None:
                replies.append(_FORGED)
                continue
            definition = definitions.get(decision.experiment_id)
            price = None
            if definition is not None and item.input_tokens is not None:
                candidate = definition.candidates[decision.arm]
                price = self.price(self._chosen.get(decision.number) or candidate)
            rows.append(feedback_row(item, index, decision, definition, price, now_ms))
            replies.append(None)
        return replies, rows

    # State

    def price(self, model: str) -> ListPrice | None:
        """Price of a declared model, None when unknown; looked up beforehand, so that no request waits for it."""
        return self.snapshot.prices.get(model)

    @property
    def unusable_answers(self) -> int:
        """Replies of policies that were no answer."""
        return self._asking.unusable

    def refresh(self) -> bool:
        """Take over the store's state if it changed; True if it did. Raises StoreError."""
        changed = self.store.state_version() != self.snapshot.version
        if changed:
            snapshot = build_snapshot(self.store.state())
            self._asking.follow(snapshot.document)
            self.snapshot = snapshot
        if self._follow:
            self._trusted_until_ms = self.clock() + STALE_MS
        return changed

    def renumber(self, worker: int) -> None:
        """Go on under another worker number, as when a suspended process lost its own."""
        self._numbers = Numbers(worker, self.clock)

    def healthy(self) -> bool:
        """Whether decisions rest on a snapshot that is fresh enough to count."""
        return self.clock() <= self._trusted_until_ms

    def close(self) -> None:
        """Commit what is queued and end the threads; the store stays open for its owner to close."""
        self._closing.set()
        self._asking.close()
        self.recorder.close()
        if self._readers is not None:
            self._readers.shutdown(wait=True, cancel_futures=True)

    def _poll(self) -> None:
        """Follow the store; while it does not answer the last snapshot serves, flagged once it is stale."""
        while not self._closing.wait(POLL_S):
            try:
                self.refresh()
            except (StoreError, ValueError):
                continue


def _marking(engine: "weakref.ref[Engine]") -> Callable[[], None]:
    """What a forked child runs: its copy of the engine has no threads and not its own worker number."""

    def mark() -> None:
        copy = engine()
        if copy is not None:
            copy._inherited = True

    return mark


async def _within_look_up(future: "Future[_Answer]") -> None:
    """Wait for a look-up as long as a request may."""
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(_seen)
    await asyncio.wait([waiting], timeout=LOOK_UP_S)


def _seen(waiting: "asyncio.Future[_Answer]") -> None:
    """Take note of a look-up's end; whoever still needs it asks the future behind."""
    if not waiting.cancelled():
        waiting.exception()


def _merge(replies: list[FeedbackReply | None], stored: list[FeedbackReply]) -> list[FeedbackReply]:
    if len(stored) == len(replies):  # as nearly always: no id was forged
        return stored
    remaining = iter(stored)
    return [next(remaining) if reply is None else reply for reply in replies]
