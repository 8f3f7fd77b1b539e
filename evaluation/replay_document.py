"""The result of a replay as one document: served outcomes, verdicts, baselines, and the paired figures apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from evaluation.baselines import Served, best_single, oracle, single, thrifty_oracle, uniform
from evaluation.paired import paired
from evaluation.recorded import Category, Recording
from evaluation.replay import Replayed, Settings

MOST_BAD_ROWS = 100


class Part(BaseModel):
    """Base of the document's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class BadRowPart(Part):
    """A row that was left out."""

    line: int
    reason: str


class CategoryPart(Part):
    """One category's experiment beside what else could have been served."""

    category: str
    prompts: int
    requests: int
    """Prompts served, repeats counted."""
    verdict: str
    candidate: str | None
    """The candidate that the verdict names."""
    sentence: str
    needed: int | None
    """About how many further units settle the question."""
    state: str
    units: int
    """Units in the experiment; requests after its end are served by the control."""
    leader: str
    """Model served most."""
    leader_share: float
    served: dict[str, int]
    reward: float
    cost_usd: float
    """Mean per request, as every cost here."""
    uniform_reward: float
    uniform_cost_usd: float
    single_reward: float
    """Of the one model that is best over the whole file."""
    single_cost_usd: float
    oracle_model: str
    oracle_reward: float
    oracle_cost_usd: float
    thrifty_model: str
    """Best reward per dollar among those not worse than the control by more than the margin."""
    thrifty_reward: float
    thrifty_cost_usd: float


class OverallPart(Part):
    """All categories together, weighted by their requests."""

    requests: int
    reward: float
    cost_usd: float
    uniform_reward: float
    uniform_cost_usd: float
    single_reward: float
    single_cost_usd: float
    oracle_reward: float
    oracle_cost_usd: float


class PairedPart(Part):
    """Best against second best over the full matrix, seen at once: a description, no verdict."""

    category: str
    best: str
    second: str
    prompts: int
    difference: float
    t_p: float | None
    mcnemar_p: float | None


class ReplayDocument(Part):
    """Everything that a replay prints."""

    format: int = 1
    file: str
    rows: int
    bad_rows: int
    bad: tuple[BadRowPart, ...]
    """The first of them, by line."""
    incomplete_prompts: int
    models: tuple[str, ...]
    control: str
    control_chosen: bool
    """Whether the control was named; else it is the dearest model by mean cost."""
    best_single: str
    mode: str
    objective: str
    margin: float
    alpha: float
    mde: float
    min_saving: float
    repeat: int
    seed: int
    categories: tuple[CategoryPart, ...]
    overall: OverallPart
    paired_offline: tuple[PairedPart, ...]


@dataclass(frozen=True)
class Result:
    """A finished replay of one file."""

    file: str
    recording: Recording
    settings: Settings
    control_chosen: bool
    replayed: Sequence[Replayed]


def document(result: Result) -> ReplayDocument:
    """Lay a result out."""
    recording, settings = result.recording, result.settings
    overall_best = best_single(recording)
    parts = tuple(
        _category(category, recording.models, settings, overall_best, one)
        for category, one in zip(recording.categories, result.replayed, strict=True)
    )
    comparisons = [paired(category, recording.models) for category in recording.categories]
    return ReplayDocument(
        file=result.file,
        rows=recording.rows,
        bad_rows=len(recording.bad),
        bad=tuple(BadRowPart(line=one.line, reason=one.reason) for one in recording.bad[:MOST_BAD_ROWS]),
        incomplete_prompts=recording.incomplete,
        models=recording.models,
        control=settings.candidates[0],
        control_chosen=result.control_chosen,
        best_single=overall_best,
        mode=settings.mode,
        objective=settings.objective,
        margin=settings.margin,
        alpha=settings.alpha,
        mde=settings.mde,
        min_saving=settings.min_saving,
        repeat=settings.repeat,
        seed=settings.seed,
        categories=parts,
        overall=_overall(parts),
        paired_offline=tuple(PairedPart(**vars(one)) for one in comparisons),
    )


def _category(
    category: Category, models: Sequence[str], settings: Settings, overall_best: str, one: Replayed
) -> CategoryPart:
    verdict, leader = one.report.verdict, int(np.argmax(one.served))
    even, alone, best = uniform(category), single(category, models, overall_best), oracle(category, models)
    thrifty = thrifty_oracle(category, models, settings.candidates[0], settings.margin)
    return CategoryPart(
        category=category.name,
        prompts=len(category.prompts),
        requests=one.requests,
        verdict=verdict.kind,
        candidate=verdict.candidate,
        sentence=verdict.sentence,
        needed=verdict.units_needed,
        state=one.state,
        units=one.report.units,
        leader=models[leader],
        leader_share=one.served[leader] / one.requests,
        served=dict(zip(models, one.served, strict=True)),
        reward=one.reward,
        cost_usd=one.cost_usd,
        oracle_model=best.model,
        thrifty_model=thrifty.model,
        **_named(uniform=even, single=alone, oracle=best, thrifty=thrifty),
    )


def _named(**ways: Served) -> dict[str, float]:
    rewards = {f"{name}_reward": way.reward for name, way in ways.items()}
    return rewards | {f"{name}_cost_usd": way.cost_usd for name, way in ways.items()}


def _overall(parts: Sequence[CategoryPart]) -> OverallPart:
    requests = np.array([part.requests for part in parts])
    fields = [name for name in OverallPart.model_fields if name != "requests"]
    means = {
        name: float(np.array([getattr(part, name) for part in parts]) @ requests / requests.sum())
        for name in fields
    }
    return OverallPart.model_validate({"requests": int(requests.sum()), **means})
