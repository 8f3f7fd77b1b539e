"""The simulation document: what was simulated, what was found, and how often the verdict was right."""

from collections import Counter
from collections.abc import Sequence

import orjson
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from evaluation.simulation.spec import Spec
from evaluation.simulation.trial import Trial
from evaluation.simulation.truth import Judgement
from experiments.report.document import CandidatePart, EffectPart, Report

LEVEL = 0.95
JUDGEMENTS: tuple[Judgement, ...] = ("right", "wrong", "missed", "open")


class Part(BaseModel):
    """Base of the document's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FoundPart(Part):
    """One true effect against the control and what the experiment found."""

    true: float
    found: float | None
    low: float | None
    high: float | None
    covered: bool | None
    """Whether the always-valid interval holds the truth; null where there is no interval."""


class CandidateTruth(Part):
    """One candidate: what it really is, and what the experiment found."""

    name: str
    served: int
    """Requests."""
    reward: float
    """True mean of a request, in reward units."""
    cost_usd: float
    """True mean of a request."""
    good: bool
    """Whether promoting it would be right."""
    reward_effect: FoundPart | None
    """Difference in reward units; null for the control."""
    cost_effect: FoundPart | None
    """Relative change of the cost: -0.5 is half of it."""


class RunPart(Part):
    """One run."""

    number: int
    verdict: str
    candidate: str | None
    judgement: Judgement
    state: str
    days: float
    units: int
    mature_units: int
    requests: int
    best: str
    """Who should serve."""
    reward_lost: float
    """Expected reward lost against serving every request by the best; negative: gained."""
    overspent_usd: float
    """Expected cost beyond serving every request by the best; negative: saved."""


class SharePart(Part):
    """How often something happened, with the exact (Clopper-Pearson) 95% interval."""

    name: str
    runs: int
    share: float
    low: float
    high: float
    mean_units: float
    """Mean units at the verdict of these runs."""


class SimulationDocument(Part):
    """A whole simulation."""

    format: int = 1
    experiment: str
    control: str
    seed: int
    requests_per_day: float
    days: float
    runs: tuple[RunPart, ...]
    verdicts: tuple[SharePart, ...]
    judgements: tuple[SharePart, ...]
    candidates: tuple[CandidateTruth, ...]
    """Of run 0."""
    report: Report
    """Of run 0, as `pointsman report` gives it."""


def document(spec: Spec, trials: Sequence[Trial]) -> SimulationDocument:
    """The document of runs of one specification."""
    definition, first = spec.experiment, trials[0]
    report = Report.model_validate(orjson.loads(first.report))
    return SimulationDocument(
        experiment=definition.name,
        control=definition.control,
        seed=spec.seed,
        requests_per_day=spec.requests_per_day,
        days=spec.days,
        runs=tuple(_run(spec, trial) for trial in trials),
        verdicts=_shares(trials, [trial.verdict for trial in trials]),
        judgements=_shares(trials, [trial.judgement for trial in trials], JUDGEMENTS),
        candidates=tuple(_candidate(first, report, arm) for arm in range(len(definition.candidates))),
        report=report,
    )


def _run(spec: Spec, trial: Trial) -> RunPart:
    return RunPart(
        number=trial.number,
        verdict=trial.verdict,
        candidate=trial.candidate,
        judgement=trial.judgement,
        state=trial.state,
        days=trial.days,
        units=trial.units,
        mature_units=trial.mature_units,
        requests=trial.requests,
        best=spec.experiment.candidates[trial.truth.best],
        reward_lost=trial.reward_lost,
        overspent_usd=trial.overspent_usd,
    )


def _shares(
    trials: Sequence[Trial], labels: Sequence[str], known: Sequence[str] = ()
) -> tuple[SharePart, ...]:
    """Share of each label, the commonest first, or in the order of `known`."""
    counts = Counter(labels)
    order = known or [name for name, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    parts = []
    for name in order:
        units = [trial.units for trial, label in zip(trials, labels, strict=True) if label == name]
        interval = binomtest(len(units), len(trials)).proportion_ci(LEVEL, method="exact")
        parts.append(
            SharePart(
                name=name,
                runs=len(units),
                share=len(units) / len(trials),
                low=float(interval.low),
                high=float(interval.high),
                mean_units=sum(units) / len(units) if units else 0.0,
            )
        )
    return tuple(parts)


def _candidate(trial: Trial, report: Report, arm: int) -> CandidateTruth:
    truth, shown = trial.truth, report.candidates[arm]
    effects: tuple[FoundPart | None, FoundPart | None] = (None, None)
    if arm:
        reward = _found(truth.reward[arm] - truth.reward[0], shown.reward_effect)
        effects = (reward, _cost_found(trial, shown, arm))
    return CandidateTruth(
        name=shown.name,
        served=trial.served[arm],
        reward=truth.reward[arm],
        cost_usd=truth.cost_usd[arm],
        good=truth.good[arm],
        reward_effect=effects[0],
        cost_effect=effects[1],
    )


def _cost_found(trial: Trial, shown: CandidatePart, arm: int) -> FoundPart | None:
    """The relative cost; there is none where the control is free."""
    costs = trial.truth.cost_usd
    return _found(costs[arm] / costs[0] - 1, shown.cost_effect) if costs[0] > 0 else None


def _found(true: float, effect: EffectPart | None) -> FoundPart:
    if effect is None:
        return FoundPart(true=true, found=None, low=None, high=None, covered=None)
    covered = None
    if effect.low is not None and effect.high is not None:
        covered = effect.low <= true <= effect.high
    return FoundPart(true=true, found=effect.value, low=effect.low, high=effect.high, covered=covered)
