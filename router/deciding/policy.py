"""Policies at work: which of its models a policy takes for a request.

What a policy says may depend on the request only, never on the draw: it is asked and resolved before any share is
looked at, the same request gets the same choice, and whether a policy may take part at all does not hang on its
answer. Its choice stands where that model may serve the request; else `otherwise` does, else its first model that may.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from router.config.policy import Policy as Settings
from router.config.policy import PolicyRule
from router.deciding.conditional import Said, holds
from router.deciding.needs import Needs

By = Literal["rule", "answer", "otherwise", "able"]
"""What named the model: a rule, a server's answer, `otherwise`, or its place as the first that may serve."""
NO_PREDICTION: Mapping[str, float] = {}


class Question(NamedTuple):
    """What a policy is asked."""

    task: str
    text: str
    metadata: Mapping[str, str]
    needs: Needs | None


class Answer(NamedTuple):
    """What a policy answers."""

    model: str
    success: Mapping[str, float] = NO_PREDICTION
    """Probability that each model's answer is a success, as far as it says."""
    rule: int | None = None
    """Number of the rule that fits."""


class Policy(Protocol):
    """What names a model for a request."""

    def answer(self, question: Question) -> Answer | None:
        """The model that it would take; None where it has no answer."""


class RulesPolicy:
    """The first rule that fits; without any input and output, so the snapshot holds it."""

    def __init__(self, rules: Sequence[PolicyRule]) -> None:
        self._rules = tuple(rules)
        self.counts_tokens = any(rule.when.input_tokens is not None for rule in rules)

    def answer(self, question: Question) -> Answer | None:
        """The model that the first fitting rule names."""
        said = Said(question.metadata, question.needs)
        for index, rule in enumerate(self._rules):
            if holds(rule.when, said, question.task):
                return Answer(rule.model, rule=index)
        return None


class PolicyRoute(NamedTuple):
    """A policy, laid out for the choice."""

    name: str
    chooses: tuple[str, ...]
    otherwise: str
    rules: RulesPolicy | None
    """None for a policy that is asked beforehand."""


class Chosen(NamedTuple):
    """What a policy chose for a request."""

    model: str
    by: By
    success: float | None = None
    """Its own word for the probability that this model succeeds."""
    answer: Answer | None = None

    @property
    def words(self) -> str:
        """The choice in words."""
        if self.answer is None:
            return f"takes {self.model}, without an answer"
        if self.by not in ("rule", "answer"):
            return f"takes {self.model}, as {self.answer.model} cannot serve the request"
        where = "" if self.answer.rule is None else f" by rules[{self.answer.rule}]"
        sure = "" if self.success is None else f", success {self.success:.2f}"
        return f"chose {self.model}{where}{sure}"


Choices = Mapping[str, Chosen]
Answers = Mapping[str, Answer]
NO_ANSWERS: Answers = {}


def laid_out(policies: Mapping[str, Settings]) -> dict[str, PolicyRoute]:
    """The declared policies by name."""
    return {
        name: PolicyRoute(
            name, each.chooses, each.otherwise, None if each.rules is None else RulesPolicy(each.rules)
        )
        for name, each in policies.items()
    }


def chosen_of(
    policy: PolicyRoute, question: Question, told: Answer | None, able: Callable[[str], bool]
) -> Chosen:
    """What a policy takes for a request; `told` is what a server answered, `able` says which models may serve."""
    answer = told if policy.rules is None else policy.rules.answer(question)
    if answer is not None and answer.model not in policy.chooses:  # of a policy that has just changed
        answer = None
    model, by = _taken(policy, answer, able)
    return Chosen(model, by, None if answer is None else answer.success.get(model), answer)


def _taken(policy: PolicyRoute, answer: Answer | None, able: Callable[[str], bool]) -> tuple[str, By]:
    if answer is not None and able(answer.model):
        return answer.model, "answer" if answer.rule is None else "rule"
    if able(policy.otherwise):
        return policy.otherwise, "otherwise"
    return next(filter(able, policy.chooses), policy.otherwise), "able"
