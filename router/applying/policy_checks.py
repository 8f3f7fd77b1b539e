"""Policies held against the rest of a document: their names, what they choose from, and where they cannot stand."""

from collections.abc import Iterator

from router.applying.findings import Finding
from router.applying.messages import did_you_mean
from router.applying.nodes import Loc
from router.config.document import Document
from router.deciding.tasks import AUTO_MODEL


def check_policies(document: Document) -> Iterator[Finding]:
    """A policy has a name of its own, rules that can apply, and answers nobody throws away."""
    for name, policy in document.policies.items():
        if name in document.models:
            yield Finding(
                ("policies", name), f"{name!r} is a model's name as well; name the policy otherwise"
            )
        if name == AUTO_MODEL:
            yield Finding(
                ("policies", name),
                "policy 'auto' is reserved: a request for it is classified; name it otherwise",
            )
        for index, rule in enumerate(policy.rules or ()):
            if rule.when.task is not None and rule.when.task not in document.tasks:
                hint = did_you_mean(rule.when.task, document.tasks)
                message = f"task {rule.when.task!r} is not declared under tasks; {hint}"
                yield Finding(("policies", name, "rules", index, "when", "task"), message)
    for name, experiment in document.experiments.items():
        for index, candidate in enumerate(experiment.candidates):
            if experiment.mode == "shadow" and index > 0 and candidate in document.policies:
                message = (
                    f"{candidate!r} is a policy, and mode shadow sends copies to models; use another mode"
                )
                yield Finding(("experiments", name, "candidates", index), message)


def only_models(document: Document) -> Iterator[tuple[Loc, str]]:
    """Where a policy cannot stand: it chooses once, before the first call."""
    for index, model in enumerate(document.fallbacks):
        yield ("fallbacks", index), model
    for name, task in document.tasks.items():
        for index, model in enumerate(task.fallbacks or ()):
            yield ("tasks", name, "fallbacks", index), model
        for cause, models in task.fallbacks_on or ():
            for index, model in enumerate(models or ()):
                yield ("tasks", name, "fallbacks_on", cause, index), model
    for name, policy in document.policies.items():
        for index, model in enumerate(policy.chooses):
            yield ("policies", name, "chooses", index), model
