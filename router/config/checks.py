"""Names held against each other: what a document may not say although each of its values is well-formed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from experiments.definition.experiment import Experiment
from experiments.definition.names import ancestors
from router.config.document import Document
from router.config.messages import did_you_mean
from router.config.nodes import Loc
from router.config.prices import list_price
from router.deciding.tasks import AUTO_MODEL, DEFAULT_TASK
from router.errors import Severity
from router.steering.successor import SUFFIX as HOLDBACK


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, or perhaps not meant, at one place of a document."""

    loc: Loc
    message: str
    severity: Severity = "error"


def check_document(document: Document) -> list[Finding]:
    """Everything that names, prices and bounds of a document contradict each other in."""
    findings: list[Finding] = []
    for check in _CHECKS:
        findings.extend(check(document))
    return findings


def _models(document: Document) -> Iterator[Finding]:
    """Every model that is named is declared."""
    for loc, name in _named_models(document):
        if name not in document.models:
            yield Finding(
                loc, f"model {name!r} is not declared under models; {did_you_mean(name, document.models)}"
            )


def _named_models(document: Document) -> Iterator[tuple[Loc, str]]:
    yield ("default",), document.default
    for index, model in enumerate(document.fallbacks):
        yield ("fallbacks", index), model
    for name, task in document.tasks.items():
        if task.default is not None:
            yield ("tasks", name, "default"), task.default
        for index, model in enumerate(task.fallbacks or ()):
            yield ("tasks", name, "fallbacks", index), model
    for name, experiment in document.experiments.items():
        for index, model in enumerate(experiment.candidates):
            yield ("experiments", name, "candidates", index), model


def _fallbacks(document: Document) -> Iterator[Finding]:
    """No chain of fallbacks comes back to a model that has already failed."""
    yield from _chain(("fallbacks",), document.fallbacks, document.default)
    for name, task in document.tasks.items():
        yield from _chain(("tasks", name, "fallbacks"), task.fallbacks or (), default_of(name, document))


def _chain(loc: Loc, fallbacks: tuple[str, ...], default: str) -> Iterator[Finding]:
    for index, model in enumerate(fallbacks):
        if model == default:
            yield Finding(
                (*loc, index),
                f"cycle in fallbacks: {model!r} is the default here, so a failed request would come back to it; "
                "remove it from fallbacks",
            )
        elif model in fallbacks[:index]:
            yield Finding(
                (*loc, index), f"cycle in fallbacks: {model!r} stands twice; keep its first place only"
            )


def _tasks(document: Document) -> Iterator[Finding]:
    """The task of requests that belong to no task has no rules of its own."""
    if DEFAULT_TASK in document.tasks:
        message = "task 'default' is reserved for requests whose task is unknown; set the document's default instead"
        yield Finding(("tasks", DEFAULT_TASK), message)


def _reserved(document: Document) -> Iterator[Finding]:
    """`auto` in a request asks for classification, so no model can be called by it."""
    if AUTO_MODEL in document.models:
        message = "model 'auto' is reserved: a request for it is classified; name it otherwise"
        yield Finding(("models", AUTO_MODEL), message)


def _keywords(document: Document) -> Iterator[Finding]:
    """A keyword under two tasks only ever finds the first."""
    owners: dict[str, str] = {}
    for name, task in document.tasks.items():
        for index, keyword in enumerate(task.match.keywords if task.match else ()):
            owner = owners.setdefault(" ".join(keyword.lower().split()), name)
            if owner != name:
                message = (
                    f"keyword {keyword!r} stands under {owner!r} as well, which is declared first and gets it"
                )
                yield Finding(("tasks", name, "match", "keywords", index), message, "warning")


def _experiments(document: Document) -> Iterator[Finding]:
    """Experiments stand under their own names, and belong to tasks that are declared."""
    for name, experiment in document.experiments.items():
        loc: Loc = ("experiments", name)
        if experiment.name != name:
            yield Finding(
                (*loc, "name"), f"experiment {name!r} calls itself {experiment.name!r}; remove this field"
            )
        if name.endswith(HOLDBACK):
            yield Finding(
                loc, f"names ending in {HOLDBACK} are given to successors of promotions; name it otherwise"
            )
        if experiment.task not in document.tasks:
            hint = did_you_mean(experiment.task, document.tasks)
            yield Finding((*loc, "task"), f"task {experiment.task!r} is not declared under tasks; {hint}")
        elif experiment.control != (champion := default_of(experiment.task, document)):
            message = (
                f"the control {experiment.control!r} is not the task's default {champion!r}; "
                "a candidate is then compared with a model that does not serve today"
            )
            yield Finding((*loc, "candidates", 0), message, "warning")


def _bounds(document: Document) -> Iterator[Finding]:
    """Margins and thresholds lie within the range of the reward they are stated in."""
    for name, experiment in document.experiments.items():
        (low, high), width = experiment.reward.range, experiment.reward.width
        scale = f"the reward's range [{low:g}, {high:g}]"
        objective, decision = experiment.objective, experiment.decision
        loc: Loc = ("experiments", name, "objective")
        if objective.reward_margin >= width:
            message = f"reward_margin == {objective.reward_margin:g}, must be less than {width:g}, the width of {scale}"
            yield Finding((*loc, "reward_margin"), message)
        if objective.min_reward is not None and not low <= objective.min_reward <= high:
            message = f"min_reward == {objective.min_reward:g}, must be within {scale}"
            yield Finding((*loc, "min_reward"), message)
        if decision.mde > width:
            message = f"mde == {decision.mde:g}, must be at most {width:g}, the width of {scale}"
            yield Finding(("experiments", name, "decision", "mde"), message)


def _prices(document: Document) -> Iterator[Finding]:
    """Costs can be known. Callers may report them with their feedback, so this only warns."""
    for name, experiment in document.experiments.items():
        reason = _why_cost(experiment)
        for index, candidate in enumerate(experiment.candidates) if reason else ():
            model = document.models.get(candidate)
            if model is not None and list_price(candidate, model) is None:
                message = (
                    f"{reason} needs costs and no price of {candidate!r} is known; give models.{candidate}.price, "
                    "or report cost_usd with each feedback: units without a cost are left out"
                )
                yield Finding(("experiments", name, "candidates", index), message, "warning")


def _why_cost(experiment: Experiment) -> str:
    if experiment.objective.needs_cost:
        return f"objective {experiment.objective.kind}"
    if any(guardrail.metric == "cost_usd" for guardrail in experiment.guardrails):
        return "guardrail cost_usd"
    return ""


def default_of(task: str, document: Document) -> str:
    """The champion that the document names for a task: its own default, else a parent's, else the document's."""
    for name in ancestors(task):
        settings = document.tasks.get(name)
        if settings is not None and settings.default is not None:
            return settings.default
    return document.default


_CHECKS: tuple[Callable[[Document], Iterator[Finding]], ...] = (
    _models, _reserved, _fallbacks, _tasks, _keywords, _experiments, _bounds, _prices,
)  # fmt: skip
