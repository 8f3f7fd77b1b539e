"""Conditional routes at work: the first rule that names a task, and the first that names a model or a tier.

Rules are compiled once per snapshot; what a request does not say no condition holds for, `exists: false` excepted.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.definition.names import ancestors
from router.config.conditions import Condition, Rule, When
from router.deciding.needs import Needs, speaks

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_NOTHING = Needs()


class Said(NamedTuple):
    """What rules look at of a request."""

    metadata: Mapping[str, str]
    needs: Needs | None


class Conditional:
    """The rules of one configuration."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._tasks = [rule for rule in rules if rule.task is not None]
        self._served = [rule for rule in rules if rule.task is None]
        self.counts_tokens = any(rule.when.input_tokens is not None for rule in rules)
        """Whether a rule asks for the length of requests."""

    @property
    def any_task(self) -> bool:
        """Whether a rule names a task."""
        return bool(self._tasks)

    @property
    def any_served(self) -> bool:
        """Whether a rule names a model or a tier."""
        return bool(self._served)

    def task(self, said: Said) -> str | None:
        """The task that the first fitting rule names."""
        return next((rule.task for rule in self._tasks if holds(rule.when, said, "")), None)

    def served(self, said: Said, task: str) -> Rule | None:
        """The first fitting rule that names a model or a tier."""
        return next((rule for rule in self._served if holds(rule.when, said, task)), None)


def holds(when: When, said: Said, task: str) -> bool:
    """Whether a request is like a rule says."""
    needs = said.needs or _NOTHING
    return (
        (when.task is None or when.task in ancestors(task))
        and (when.latency is None or when.latency == needs.latency)
        and (when.residency is None or when.residency == needs.residency)
        and (when.domain is None or when.domain == needs.domain)
        and (
            when.language is None or (needs.language is not None and speaks((when.language,), needs.language))
        )
        and all(tag in needs.tags for tag in when.tags)
        and (when.input_tokens is None or _counts(when.input_tokens, needs.input_tokens))
        and all(fits(condition, said.metadata.get(key)) for key, condition in when.metadata.items())
    )


def fits(condition: Condition, text: str | None) -> bool:
    """Whether a text is as the condition says; None is one that the request does not have."""
    if text is None:
        return condition.exists is False
    return (
        condition.exists is not False
        and (condition.eq is None or text == condition.eq)
        and (condition.in_ is None or text in condition.in_)
        and (condition.prefix is None or text.startswith(condition.prefix))
        and ((condition.lt is None and condition.gt is None) or _within(condition, number_of(text)))
    )


def number_of(text: str) -> float | None:
    """The number that a text writes, if it writes one.

    >>> number_of("12.5"), number_of("twelve"), number_of("1e3 ")
    (12.5, None, None)
    """
    return float(text) if _NUMBER.fullmatch(text) else None


def _counts(condition: Condition, tokens: int | None) -> bool:
    return tokens is not None and _within(condition, tokens)


def _within(condition: Condition, value: float | None) -> bool:
    if value is None:
        return False
    return (condition.lt is None or value < condition.lt) and (condition.gt is None or value > condition.gt)
