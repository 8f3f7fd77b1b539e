"""Waits: the longest ones of an attempt, from its task, its model and the worker's own."""

from typing import NamedTuple

from router.config.availability import Timeouts


class Waits(NamedTuple):
    """Longest waits of one attempt."""

    connect_s: float = 2.0
    first_token_s: float = 60.0
    """Until a stream's first piece."""
    idle_s: float = 30.0
    """Between two pieces of a stream."""
    attempt_s: float = 3_600.0
    """Of the whole attempt; a request's own time goes before it."""


def waits_of(usual: Waits, task: Timeouts | None, model: Timeouts | None) -> Waits:
    """What a task and a model state, the shorter where both do; the usual waits else.

    >>> task, model = Timeouts(idle_s=5.0, total_s=9.0), Timeouts(idle_s=8.0, connect_s=4.0)
    >>> waits_of(Waits(), task, model)
    Waits(connect_s=4.0, first_token_s=60.0, idle_s=5.0, attempt_s=3600.0)
    """
    if task is None and model is None:
        return usual
    stated = {
        name: min(values)
        for name in ("connect_s", "first_token_s", "idle_s")
        if (
            values := [value for each in (task, model) if each and (value := getattr(each, name)) is not None]
        )
    }
    if model is not None and model.total_s is not None:
        stated["attempt_s"] = model.total_s
    return usual._replace(**stated)
