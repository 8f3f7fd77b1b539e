"""Names held against each other: what a document may not say although each of its values is well-formed."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from experiments.definition.experiment import Experiment
from experiments.definition.names import ancestors
from router.applying.findings import Finding
from router.applying.messages import did_you_mean
from router.applying.nodes import Loc
from router.applying.policy_checks import check_policies, only_models
from router.classifying.scripts import folded
from router.classifying.trained_file import ClassifierRefused, trained_of
from router.config.document import Document
from router.config.model import Model
from router.config.prices import list_price
from router.deciding.snapshot import ceiling
from router.deciding.tasks import AUTO_MODEL, DEFAULT_TASK
from router.steering.successor import SUFFIX as HOLDBACK


def check_document(document: Document) -> list[Finding]:
    """Everything that names, prices and bounds of a document contradict each other in."""
    findings: list[Finding] = []
    for check in _CHECKS:
        findings.extend(check(document))
    return findings


def _models(document: Document) -> Iterator[Finding]:
    """Every model that is named is declared."""
    for loc, name in _named_models(document):
        if not document.serves(name):
            known = [*document.models, *document.policies]
            yield Finding(loc, f"model {name!r} is not declared under models; {did_you_mean(name, known)}")
    for loc, name in only_models(document):
        if name in document.policies:
            message = f"{name!r} is a policy, and only models can stand here: name one that it chooses from"
            yield Finding(loc, message)
        elif name not in document.models:
            yield Finding(
                loc, f"model {name!r} is not declared under models; {did_you_mean(name, document.models)}"
            )


def _named_models(document: Document) -> Iterator[tuple[Loc, str]]:
    yield ("default",), document.default
    for name, task in document.tasks.items():
        if task.default is not None:
            yield ("tasks", name, "default"), task.default
    for index, rule in enumerate(document.routes):
        if rule.model is not None:
            yield ("routes", index, "model"), rule.model
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
            owner = owners.setdefault(" ".join(folded(keyword).split()), name)
            if owner != name:
                message = (
                    f"keyword {keyword!r} stands under {owner!r} as well, which is declared first and gets it"
                )
                yield Finding(("tasks", name, "match", "keywords", index), message, "warning")


def _routes(document: Document) -> Iterator[Finding]:
    """Conditional routes lead to what is declared."""
    tiers = {model.tier for model in document.models.values() if model.tier is not None}
    for index, rule in enumerate(document.routes):
        if rule.task is not None and rule.task not in document.tasks:
            hint = did_you_mean(rule.task, document.tasks)
            yield Finding(
                ("routes", index, "task"), f"task {rule.task!r} is not declared under tasks; {hint}"
            )
        if rule.tier is not None and rule.tier not in tiers:
            message = f"no model has tier {rule.tier}; declared tiers: {sorted(tiers)}"
            yield Finding(("routes", index, "tier"), message)
        if rule.when.task is not None and rule.when.task not in document.tasks:
            hint = did_you_mean(rule.when.task, document.tasks)
            message = f"task {rule.when.task!r} is not declared under tasks; {hint}"
            yield Finding(("routes", index, "when", "task"), message)


def _copied_to_people(document: Document) -> Iterator[Finding]:
    """Nobody answers copies whose answers are thrown away."""
    for name, experiment in document.experiments.items():
        for index, candidate in enumerate(experiment.candidates):
            model = document.models.get(candidate)
            if experiment.mode == "shadow" and model is not None and model.kind == "human":
                message = (
                    f"{candidate!r} hands over to people, and mode shadow sends copies; use another mode"
                )
                yield Finding(("experiments", name, "candidates", index), message)


def _mix(document: Document) -> Iterator[Finding]:
    """Each tier of the expected mix has a model."""
    tiers = {model.tier for model in document.models.values()}
    for tier in document.mix:
        if int(tier) not in tiers:
            yield Finding(("mix", tier), f"no model has tier {tier}; give one of them tier: {tier}")


def _one_provider(document: Document) -> Iterator[Finding]:
    """A provider that is down takes all its models with it."""
    if document.fallbacks and _all_at_one(document, document.default, document.fallbacks):
        yield Finding(("fallbacks",), _ONE_PROVIDER.format(document.default), "warning")
    for name, task in document.tasks.items():
        champion = default_of(name, document)
        fallbacks = fallbacks_of(name, document)
        stated = task.fallbacks is not None or task.default is not None
        if stated and fallbacks and _all_at_one(document, champion, fallbacks):
            field = "default" if task.fallbacks is None else "fallbacks"
            yield Finding(("tasks", name, field), _ONE_PROVIDER.format(champion), "warning")


_ONE_PROVIDER = "all fallbacks are at the provider of {!r}, and would be down with it; add one elsewhere"


def _all_at_one(document: Document, champion: str, fallbacks: tuple[str, ...]) -> bool:
    models = [document.models.get(name) for name in (champion, *fallbacks)]
    first = models[0]
    return first is not None and all(model is not None and _shares(first, model) for model in models[1:])


def _shares(one: Model, other: Model) -> bool:
    """Whether two models are at one provider: by its name where both state it, else by host."""
    if {"provider"} <= one.model_fields_set & other.model_fields_set and one.provider == other.provider:
        return True
    return _hosts(one) == _hosts(other)


def _hosts(model: Model) -> set[str]:
    places = [model.base_url, *(each.base_url for each in model.deployments if each.base_url is not None)]
    return {urlsplit(place).netloc for place in places}


def _residency(document: Document) -> Iterator[Finding]:
    """Where data stays is said of all models or of none: silence counts as everywhere."""
    silent = [name for name, model in document.models.items() if model.residency is None]
    if 0 < len(silent) < len(document.models):
        shown = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
        message = (
            f"residency is declared of some models and not of {shown}; "
            "what is not declared counts as allowed everywhere"
        )
        yield Finding(("models", silent[0]), message, "warning")


def _classifier(document: Document) -> Iterator[Finding]:
    """What the classifier names should be declared; the rest is served by the default."""
    settings = document.classifier
    if settings is None or settings.packed is None:
        return
    try:
        tasks = trained_of(settings.packed).tasks
    except ClassifierRefused as error:
        yield Finding(("classifier", "packed"), str(error))
        return
    for task in tasks:
        if task != DEFAULT_TASK and not any(parent in document.tasks for parent in ancestors(task)):
            message = (
                f"the classifier names task {task!r}, which is not declared under tasks, nor a parent of it; "
                f"its requests go to the default. {did_you_mean(task, document.tasks)}"
            )
            yield Finding(("classifier", "file"), message, "warning")


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
            for model in _unpriced(candidate, document):
                message = (
                    f"{reason} needs costs and no price of {model!r} is known; give models.{model}.price, "
                    "or report cost_usd with each feedback: units without a cost are left out"
                )
                yield Finding(("experiments", name, "candidates", index), message, "warning")


def _unpriced(name: str, document: Document) -> list[str]:
    """The models behind a name whose price nobody knows."""
    models = document.models_behind(name)
    return [each for each in models if list_price(each, document.models[each]) is None]


def _spending(document: Document) -> Iterator[Finding]:
    """What is limited in money has a price; an unknown one would never reach the limit."""
    for name, model in document.models.items():
        limits = [model.limits, *(each.limits for each in model.deployments)]
        spends = any(each is not None and each.usd_per_day is not None for each in limits)
        if spends and list_price(name, model) is None:
            message = f"usd_per_day needs a price and none of {name!r} is known; give models.{name}.price"
            yield Finding(("models", name), message)
    for name, task in document.tasks.items():
        for model_of in _unpriced(default_of(name, document), document) if task.budget is not None else ():
            message = (
                f"the budget needs a price and none of {model_of!r} is known; give models.{model_of}.price"
            )
            yield Finding(("tasks", name, "budget"), message)


def _ceilings(document: Document) -> Iterator[Finding]:
    """A model whose price nobody knows is not within any ceiling: the task could never use it."""
    for task in document.tasks:
        most_usd, stated_by = ceiling(task, document)
        for name in _models_of(task, document) if most_usd is not None else ():
            if list_price(name, document.models[name]) is None:
                message = (
                    f"max_cost_usd == {most_usd:g} needs prices and none of {name!r}, which task {task!r} uses, "
                    f"is known; give models.{name}.price"
                )
                yield Finding(("tasks", stated_by, "max_cost_usd"), message)


def _models_of(task: str, document: Document) -> tuple[str, ...]:
    """What a task is served by: its champion, its fallbacks, the candidates of its experiments."""
    drafted = [each.candidates for each in document.experiments.values() if each.task == task]
    candidates = [name for names in drafted for name in names]
    names = (default_of(task, document), *fallbacks_of(task, document), *candidates)
    return tuple(dict.fromkeys(model for name in names for model in document.models_behind(name)))


def _hedges(document: Document) -> Iterator[Finding]:
    """A second attempt has somewhere to go."""
    several = any(len(model.deployments) > 1 for model in document.models.values())
    for name, task in document.tasks.items():
        to = None if task.hedge is None else task.hedge.to
        if to == "deployment" and not several:
            message = (
                "no model has a second deployment, so nothing is hedged; declare some, or hedge to: fallback"
            )
            yield Finding(("tasks", name, "hedge"), message, "warning")
        elif to == "fallback" and not fallbacks_of(name, document):
            message = "the task has no fallbacks, so nothing is hedged; name some, or hedge to: deployment"
            yield Finding(("tasks", name, "hedge"), message, "warning")


def _why_cost(experiment: Experiment) -> str:
    if experiment.objective.needs_cost:
        return f"objective {experiment.objective.kind}"
    if any(guardrail.metric == "cost_usd" for guardrail in experiment.guardrails):
        return "guardrail cost_usd"
    return ""


def fallbacks_of(task: str, document: Document) -> tuple[str, ...]:
    """The fallbacks that the document names for a task: its own, else a parent's, else the document's."""
    for name in ancestors(task):
        settings = document.tasks.get(name)
        if settings is not None and settings.fallbacks is not None:
            return settings.fallbacks
    return document.fallbacks


def default_of(task: str, document: Document) -> str:
    """The champion that the document names for a task: its own default, else a parent's, else the document's."""
    for name in ancestors(task):
        settings = document.tasks.get(name)
        if settings is not None and settings.default is not None:
            return settings.default
    return document.default


_CHECKS: tuple[Callable[[Document], Iterator[Finding]], ...] = (
    _models, check_policies, _reserved, _fallbacks, _tasks, _keywords, _routes, _copied_to_people, _mix, _one_provider,
    _residency, _classifier, _experiments, _bounds, _prices, _spending, _ceilings, _hedges,
)  # fmt: skip
