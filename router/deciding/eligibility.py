"""Eligibility: which models may serve a request, decided before any share is drawn.

A request that a live candidate cannot serve would be failed by that candidate alone, or be missing from its side
only; either would bias the comparison. So it goes to the champion, outside the experiment, whichever candidate the
draw would have named. What a model does not declare it counts as able to do; a price that nobody knows is no proof
of being cheap enough.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from router.config.model import Model
from router.config.prices import ListPrice
from router.deciding.needs import FLAGS, Needs, speaks
from router.deciding.snapshot import Snapshot, TaskRoute
from router.errors import InvalidRequest

ANSWER_TOKENS = 1_000
"""Length of an answer whose request names no longest one, where its cost is held against a ceiling."""
_WORDS_FOR = {"tools": "tools", "vision": "vision", "audio": "audio", "json_mode": "JSON mode"}


def lacking(model: Model, price: ListPrice | None, needs: Needs) -> str:
    """What the model lacks for a request, in words; "" where it may serve it."""
    return next(_lacks(model, price, needs), "")


def _lacks(model: Model, price: ListPrice | None, needs: Needs) -> Iterator[str]:
    for flag in FLAGS:
        if getattr(needs, flag) and getattr(model, flag) is False:
            yield _WORDS_FOR[flag]
    yield from _lacks_size(model, needs)
    yield from _lacks_words(model, needs)
    if needs.latency is not None and model.latency not in (None, needs.latency):
        yield f"latency {needs.latency} (it serves {model.latency} requests only)"
    if needs.max_cost_usd is not None:
        yield from _too_dear(model, price, needs, needs.max_cost_usd)


def _lacks_size(model: Model, needs: Needs) -> Iterator[str]:
    asked, given = needs.output_tokens or 0, needs.input_tokens or 0
    if model.context_tokens is not None and given + asked > model.context_tokens:
        yield f"context for about {given + asked} tokens (context_tokens is {model.context_tokens})"
    if model.max_output_tokens is not None and asked > model.max_output_tokens:
        yield f"answers of {asked} tokens (max_output_tokens is {model.max_output_tokens})"


def _lacks_words(model: Model, needs: Needs) -> Iterator[str]:
    if needs.residency is not None and model.residency is not None and needs.residency not in model.residency:
        yield f"residency {needs.residency}"
    if (
        needs.language is not None
        and model.languages is not None
        and not speaks(model.languages, needs.language)
    ):
        yield f"language {needs.language}"
    if needs.domain is not None and model.domains is not None and needs.domain not in model.domains:
        yield f"domain {needs.domain}"
    for word, asked, declared in (("skill", needs.skills, model.skills), ("tag", needs.tags, model.tags)):
        missing = [each for each in asked if declared is not None and each not in declared]
        if missing:
            yield f"{word} {', '.join(missing)}"


def _too_dear(model: Model, price: ListPrice | None, needs: Needs, most_usd: float) -> Iterator[str]:
    cost_usd, task = estimated_usd(model, price, needs), needs.ceiling_of
    ceiling = f"max_cost_usd {most_usd:g} of task {task}" if task else f"max_cost {most_usd:g}"
    if cost_usd is None:
        yield f"a known price to hold against {ceiling}" + ("; give its price" if task else "")
    elif cost_usd > most_usd:
        remedy = "; raise the ceiling, or ask for a shorter answer" if task else ""
        yield f"a price within {ceiling} (about ${cost_usd:.2g} here{remedy})"


def estimated_usd(model: Model, price: ListPrice | None, needs: Needs) -> float | None:
    """What the request would cost by the price list, its answer as long as it may be; None without a price."""
    if price is None:
        return None
    longest = min(ANSWER_TOKENS, model.max_output_tokens or ANSWER_TOKENS)
    asked = longest if needs.output_tokens is None else needs.output_tokens
    return price.cost_usd(needs.input_tokens or 0, asked)


def lacking_here(name: str, snapshot: Snapshot, needs: Needs) -> str:
    """What a model lacks for a request, or a policy all whose models lack something; "" where it may serve it."""
    policy = snapshot.policies.get(name)
    if policy is None:
        model = snapshot.models.get(name)
        return "a declaration" if model is None else lacking(model, snapshot.prices.get(name), needs)
    lacks = {each: lacking_here(each, snapshot, needs) for each in policy.chooses}
    if not all(lacks.values()):
        return ""
    return "a model that can serve it: " + "; ".join(f"{each} lacks {what}" for each, what in lacks.items())


def check_able(name: str, snapshot: Snapshot, needs: Needs) -> None:
    """Raise InvalidRequest where a model that the request names itself cannot serve it."""
    missing = lacking_here(name, snapshot, needs)
    if missing:
        raise InvalidRequest(
            f"model {name!r} lacks {missing}; name another, or leave it to the task", "model"
        )


def first_able(names: Sequence[str], snapshot: Snapshot, needs: Needs) -> str:
    """The first of some models that may serve a request; raises InvalidRequest where none may."""
    lacks: dict[str, str] = {}
    for name in names:
        lacks[name] = lacking_here(name, snapshot, needs)
        if not lacks[name]:
            return name
    raise InvalidRequest(f"no model of the tier can serve this request: {_shown(lacks)}", "needs")


class Narrowed:
    """A task's route for one request: only models that may serve it."""

    __slots__ = ("lacks", "route")

    def __init__(self, route: TaskRoute, snapshot: Snapshot, needs: Needs) -> None:
        """Raises InvalidRequest where no model of the task may serve the request."""
        experiment = route.experiment
        live = _live(route)
        ended = [name for each in route.ended for name in each.models if name is not None]
        self.lacks: dict[str, str] = {}
        """What each model lacks that is not able."""
        for name in dict.fromkeys((route.champion, *route.fallbacks, *live, *ended)):
            missing = lacking_here(name, snapshot, needs)
            if missing:
                self.lacks[name] = missing
        self.route = route
        if not self.lacks:
            return
        able = [name for name in (route.champion, *route.fallbacks, *live) if name not in self.lacks]
        if not able:
            raise _refused(route, self.lacks)
        self.route = replace(
            route,
            champion=able[0],
            fallbacks=tuple(name for name in route.fallbacks if name in able and name != able[0]),
            experiment=None if any(name in self.lacks for name in live) else experiment,
            ended=() if any(name in self.lacks for name in ended) else route.ended,
        )

    def why(self, before: TaskRoute) -> str:
        """What kept the request from where it would have gone: a candidate or the champion; "" if nothing did."""
        kept_from = dict.fromkeys((before.champion, *_live(before)))
        return "; ".join(f"{name} lacks {self.lacks[name]}" for name in kept_from if name in self.lacks)


def _live(route: TaskRoute) -> list[str]:
    """Candidates that may still get traffic, where the experiment gives any."""
    experiment = route.experiment
    if experiment is None or experiment.paused:
        return []
    return [name for arm, name in enumerate(experiment.candidates) if arm not in experiment.dropped]


def _refused(route: TaskRoute, lacks: Mapping[str, str]) -> InvalidRequest:
    return InvalidRequest(f"no model of task {route.task!r} can serve this request: {_shown(lacks)}", "needs")


def _shown(lacks: Mapping[str, str]) -> str:
    return "; ".join(f"{name} lacks {missing}" for name, missing in list(lacks.items())[:5])
