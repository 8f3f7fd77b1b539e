"""Names of tasks, models, experiments and metrics: what a user may call a thing."""

import re
from typing import Annotated

from pydantic import AfterValidator

_WORD = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
_NAME = re.compile(_WORD)
_TASK = re.compile(rf"{_WORD}(?:/{_WORD}){{0,4}}")
_EXPERIMENT = re.compile(rf"{_WORD}(?:~holdback){{0,3}}")
_RULE = "letters, digits and . _ + - (at most 64, the first a letter or digit)"


def check_name(value: str) -> str:
    """Return `value` if it names a model, provider or metric.

    >>> check_name("gpt-4.1")
    'gpt-4.1'
    """
    if not _NAME.fullmatch(value):
        raise ValueError(f"name {value[:80]!r} must be {_RULE}")
    return value


def check_task(value: str) -> str:
    """Return `value` if it is a task name: one to five words joined by slashes, as in `support/billing`."""
    if not _TASK.fullmatch(value):
        raise ValueError(f"task {value[:80]!r} must be one to five words joined by '/', each word {_RULE}")
    return value


def check_experiment(value: str) -> str:
    """Return `value` if it is an experiment's name; only successors carry the ending `~holdback`."""
    if not _EXPERIMENT.fullmatch(value):
        raise ValueError(f"experiment {value[:80]!r} must be {_RULE}")
    return value


Name = Annotated[str, AfterValidator(check_name)]
TaskName = Annotated[str, AfterValidator(check_task)]
ExperimentName = Annotated[str, AfterValidator(check_experiment)]


def ancestors(task: str) -> list[str]:
    """The task and its parents, nearest first.

    >>> ancestors("support/billing/refund")
    ['support/billing/refund', 'support/billing', 'support']
    """
    words = task.split("/")
    return ["/".join(words[:depth]) for depth in range(len(words), 0, -1)]
