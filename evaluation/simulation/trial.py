"""Trial: one run of a specification through the real router, planner and report, with the clock injected.

The simulated person acts at once: a supported promotion is confirmed, a futile or inconclusive experiment is stopped.
Every other verdict lets it run on until the traffic ends; then the open epoch closes and matures, and the last look
decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
import orjson

from bandit.simulation.environments import Environment
from evaluation.simulation.arrivals import Arrivals, blocks, draw_arrivals, prospects
from evaluation.simulation.spec import DAY_MS, Spec
from evaluation.simulation.truth import Judgement, Truth, judged, truth_of
from experiments.definition.lifecycle import ExperimentState
from experiments.evidence.epochs import GRACE_MS, LONGEST_MS, smallest_size
from router.config.document import Document
from router.errors import NotFound
from router.in_process import Router
from router.recording.feedback import FeedbackItem

START_MS = 1_790_000_000_000
_LAST_START_MS = 2**31
"""The start moves by up to so much with the seed: an experiment's salt and its requests' numbers follow from it."""
_KEY = "simulated decisions need no secret"
_NO_UPSTREAM = "http://simulated.invalid/v1"
_TYPICAL_TOKENS = 700
"""Tokens of the call by which list prices are compared (router.steering.look)."""
_MOST_LOOKS = 2_000
_PATIENCE = 100
"""Feedback is delivered in groups that wait at most this part of the reward window."""


@dataclass(frozen=True)
class Trial:
    """What one run came to; equal for equal specification and number."""

    number: int
    verdict: str
    candidate: str | None
    judgement: Judgement
    state: str
    days: float
    """From the start to the verdict."""
    units: int
    mature_units: int
    requests: int
    served: tuple[int, ...]
    """Requests by the candidate whose model served them."""
    reward_lost: float
    """Expected reward lost against serving every request by the best candidate; negative: gained."""
    overspent_usd: float
    """Expected cost beyond serving every request by the best candidate; negative: saved."""
    truth: Truth
    report: bytes
    """The report document, as JSON."""


@dataclass(slots=True)
class _Clock:
    """Time that stands still until it is moved."""

    now_ms: int

    def __call__(self) -> int:
        return self.now_ms


def run_trial(spec: Spec, number: int = 0, advance: Callable[[int], object] = int) -> Trial:
    """Run a specification with the draws of run `number`; `advance` hears how many requests were served since."""
    generator = np.random.default_rng([spec.seed, number])
    clock = _Clock(START_MS + int(generator.integers(_LAST_START_MS)))
    arrivals = draw_arrivals(spec, generator)
    router = Router.open(
        document_of(spec), "memory:", signing_key=_KEY, clock=clock, tick="manual", start=True
    )
    with router:
        course = _Course(spec, arrivals, router, clock)
        course.run(advance)
        return course.result(number)


def document_of(spec: Spec) -> Document:
    """A configuration whose models are never called; their list prices are the environment's costs."""
    definition, environment = spec.experiment, spec.environment.built()
    usd = environment.costs_at(np.zeros(1))[0].tolist()
    prices = [min(1e6 * each / _TYPICAL_TOKENS, 1e6) for each in usd]
    models = {
        name: {"base_url": _NO_UPSTREAM, "price": {"input": price, "output": price}}
        for name, price in zip(definition.candidates, prices, strict=True)
    }
    return Document.model_validate(
        {
            "models": models,
            "default": definition.control,
            "tasks": {definition.task: {}},
            "experiments": {definition.name: definition},
        }
    )


def look_every_ms(spec: Spec) -> int:
    """Time between two looks: as declared, else that of the requests an epoch needs, with a bound on all looks."""
    if spec.look_every is not None:
        return spec.look_every
    wanted = smallest_size(len(spec.experiment.candidates), 1) * DAY_MS / spec.requests_per_day
    return round(max(wanted, spec.length_ms / _MOST_LOOKS, 1_000))


class _Course:
    """One experiment under way: requests, feedback when it is due, looks at their times."""

    def __init__(self, spec: Spec, arrivals: Arrivals, router: Router, clock: _Clock) -> None:
        self._spec = spec
        self._arrivals = arrivals
        self._router = router
        self._clock = clock
        self._environment: Environment = spec.environment.built()
        self._definition = spec.experiment
        self._start_ms = clock.now_ms
        self._due: list[tuple[int, int, FeedbackItem]] = []
        """Feedback to come: when, which request's, what."""
        self._lag_ms = max(1, spec.experiment.reward.window_ms // _PATIENCE)
        self._every_ms = look_every_ms(spec)
        self._next_look_ms = clock.now_ms + self._every_ms
        self._served = [0] * len(spec.experiment.candidates)
        self._by_arm = np.full(len(arrivals), -1, dtype=np.int64)
        self._over = False

    def run(self, advance: Callable[[int], object]) -> None:
        """Serve until a verdict ends the experiment or the traffic is over, and let the last epoch mature."""
        for start, end in blocks(self._arrivals):
            before = sum(self._served)
            self._serve(start, end)
            advance(sum(self._served) - before)
            if self._over:
                return
        self._pass_to(self._start_ms + self._spec.length_ms)
        for wait_ms in (LONGEST_MS, self._definition.reward.window_ms + GRACE_MS):
            if not self._over:
                self._pass_to(self._clock.now_ms + wait_ms, looking=False)
                self._look()

    def _serve(self, start: int, end: int) -> None:
        arrivals, part = self._arrivals, slice(start, end)
        ahead = prospects(self._spec, arrivals, start, end)
        wins = (arrivals.luck[part, None] < ahead.chance).tolist()
        costs = (arrivals.cost_factor[part, None] * ahead.cost_usd).tolist()
        heard = (arrivals.patience[part, None] < self._environment.feedback_shares).tolist()
        times, units = arrivals.at_ms[part].tolist(), arrivals.unit[part].tolist()
        for index, (at_ms, unit) in enumerate(zip(times, units, strict=True)):
            self._pass_to(self._start_ms + at_ms)
            if self._over:
                return
            arm = self._request(unit, start + index, wins[index], costs[index], heard[index])
            self._served[arm] += 1
            self._by_arm[start + index] = arm

    def _request(self, unit: int, index: int, wins: list[bool], costs: list[float], heard: list[bool]) -> int:
        """Route one request and line up what will be reported of it; the arm that served."""
        unit_kind, name = self._definition.unit, f"unit-{unit}"
        decision = self._router.route(
            self._definition.task,
            user=name if unit_kind == "user" else None,
            session=name if unit_kind == "conversation" else None,
            unit=name if unit_kind not in ("user", "conversation", "request") else None,
        )
        arm = self._definition.candidates.index(decision.model)
        if decision.experiment is None:
            return arm
        now_ms, cost_usd = self._clock.now_ms, costs[arm]
        reward = self._definition.reward.range[int(wins[arm])] if heard[arm] else None
        wait_ms = self._wait_ms(arm, index, wins[arm]) if heard[arm] else 0
        if wait_ms:
            self._line_up(now_ms, index, FeedbackItem(decision_id=decision.id, cost_usd=cost_usd))
            self._line_up(now_ms + wait_ms, index, FeedbackItem(decision_id=decision.id, value=reward))
        else:
            item = FeedbackItem(decision_id=decision.id, value=reward, cost_usd=cost_usd)
            self._line_up(now_ms, index, item)
        return arm

    def _wait_ms(self, arm: int, index: int, won: bool) -> int:
        """How long the reward of a request takes."""
        if not self._environment.delays:
            return 0
        mean = self._environment.delays_of(np.array([arm]), np.array([float(won)]))[0]
        return round(float(mean * self._arrivals.delay[index]) * self._spec.length_ms)

    def _line_up(self, at_ms: int, index: int, item: FeedbackItem) -> None:
        # A request reports its cost and its reward at two times, or both at one: items are never compared.
        heappush(self._due, (at_ms, 2 * index + (item.value is not None), item))

    def _pass_to(self, to_ms: int, looking: bool = True) -> None:
        """Let time pass: feedback arrives, and the planner looks at its times."""
        while not self._over:
            deliver_ms = self._due[0][0] + self._lag_ms if self._due else to_ms + 1
            look_ms = self._next_look_ms if looking else to_ms + 1
            if min(deliver_ms, look_ms) > to_ms:
                break
            self._clock.now_ms = min(deliver_ms, look_ms)
            if look_ms <= deliver_ms:
                self._look()
                self._next_look_ms += self._every_ms
            else:
                self._deliver()
        if not self._over:
            self._clock.now_ms = to_ms

    def _deliver(self) -> None:
        """Report everything that is due by now."""
        items = []
        while self._due and self._due[0][0] <= self._clock.now_ms:
            items.append(heappop(self._due)[2])
        if items:
            self._router.feedback_many(items)

    def _look(self) -> None:
        """Let the planner look, and do what its verdict asks a person for."""
        self._deliver()
        self._router.tick()
        name, control = self._definition.name, self._router.control
        if control.experiment(name).state is not ExperimentState.RUNNING:
            self._over = True
            return
        verdict = self._verdict()
        if verdict["kind"] == "promote":
            control.promote(name, "simulation", str(verdict["sentence"]))
            self._over = True
        elif verdict["kind"] in ("stop_futile", "inconclusive"):
            control.stop(name, "simulation", str(verdict["sentence"]))
            self._over = True

    def _verdict(self) -> dict[str, object]:
        try:
            report = orjson.loads(self._router.control.report(self._definition.name).body)
        except NotFound:  # no look so far had anything to show
            return {"kind": "not_ready"}
        verdict: dict[str, object] = report["verdict"]
        return verdict

    def result(self, number: int) -> Trial:
        """What the run came to."""
        report = self._router.report(self._definition.name)
        verdict = report["verdict"]
        assert isinstance(verdict, dict)
        requests = sum(self._served)
        truth = truth_of(self._spec, self._arrivals, requests)
        lost, overspent = self._against_best(requests, truth.best)
        row = self._router.control.experiment(self._definition.name)
        return Trial(
            number, verdict["kind"], verdict["candidate"],
            judged(verdict["kind"], verdict["candidate"], self._definition, truth), str(row.state),
            (self._clock.now_ms - self._start_ms) / DAY_MS, _count(report["units"]), _count(report["mature_units"]),
            requests, tuple(self._served), lost, overspent, truth, orjson.dumps(report),
        )  # fmt: skip

    def _against_best(self, requests: int, best: int) -> tuple[float, float]:
        """Expected reward lost and money spent beyond serving everything by the best candidate."""
        lost = overspent = 0.0
        for start, end in blocks(self._arrivals):
            end = min(end, requests)
            if end <= start:
                break
            ahead = prospects(self._spec, self._arrivals, start, end)
            arm = self._by_arm[start:end]
            pick = np.arange(end - start)
            lost += float((ahead.chance[:, best] - ahead.chance[pick, arm]).sum())
            overspent += float((ahead.cost_usd[pick, arm] - ahead.cost_usd[:, best]).sum())
        return lost * self._definition.reward.width, overspent


def _count(value: object) -> int:
    assert isinstance(value, int)
    return value
