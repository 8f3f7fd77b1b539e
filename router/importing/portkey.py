"""Portkey's gateway configuration: targets become models, strategies become fallbacks, splits and match rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.importing.deployments import Keys
from router.importing.draft import Draft, TaskDraft, name_of
from router.importing.portkey_target import read_target
from router.importing.source import Section, Source, refused

_MAIN = "main"
"""The task that clients of a whole configuration ask for."""
_METADATA = "metadata."
_REASONS = {
    "retry": "was left out: retries of the file and of a task say how often a call is tried again",
    "cache": "has no counterpart: answers are not cached",
    "input_guardrails": "have no counterpart: requests are not judged",
    "output_guardrails": "have no counterpart as blocks; an experiment's guardrails compare candidates",
    "forward_headers": "have no counterpart: an upstream gets no header of the client",
    "before_request_hooks": "have no counterpart: requests are not judged",
    "after_request_hooks": "have no counterpart: answers are not judged",
    "name": "has no counterpart",
    "id": "has no counterpart",
}


@dataclass(frozen=True, slots=True)
class _Branch:
    """What one target comes to: a group that serves, those after it, and the split that it asks for."""

    first: str
    fallbacks: tuple[str, ...] = ()
    shares: tuple[tuple[str, float], ...] = ()
    timeout_s: float | None = None


@dataclass(slots=True)
class _Desk:
    draft: Draft
    keys: Keys
    model: str | None
    """Model of targets that leave it to the client."""
    by_name: dict[str, _Branch]


def from_portkey(source: Source, variables: Mapping[str, str], model: str | None = None) -> Draft:
    """What a gateway configuration says, in our terms; raises ConfigInvalid if no target of it can be called."""
    desk = _Desk(Draft(), Keys(variables), model, {})
    root = source.root
    strategy = root.section("strategy")
    if strategy.text("mode") == "conditional":
        _conditional(root, strategy, desk)
    else:
        branch = _branch(root, desk)
        if branch is not None:
            desk.draft.tasks[_MAIN] = _task(branch)
            desk.draft.default, desk.draft.fallbacks = branch.first, list(branch.fallbacks)
            source.remark((), f"became the task {_MAIN}: clients ask for task/{_MAIN} instead of a model")
    if not desk.draft.groups or not desk.draft.default:
        why = "; ".join(f"line {each.line}: {each.message}" for each in source.remarks[:5])
        raise refused(source.name, f"no target of it can be called here ({why or 'it names none'})")
    return desk.draft


def _task(branch: _Branch) -> TaskDraft:
    return TaskDraft(branch.first, list(branch.fallbacks), timeout_s=branch.timeout_s, shares=branch.shares)


def _branch(section: Section, desk: _Desk, outer_s: float | None = None) -> _Branch | None:
    """A target, with the targets within it."""
    strategy = section.section("strategy")
    mode = strategy.text("mode") or ("single" if not section.has("targets") else "fallback")
    timeout_ms = section.number("request_timeout")
    timeout_s = min(timeout_ms / 1e3, 3600.0) if timeout_ms else outer_s
    if mode == "single" and not section.has("targets"):
        group = read_target(section, desk.draft, desk.keys, desk.model, _REASONS)
        return None if group is None else _Branch(group, timeout_s=timeout_s)
    parts = _parts(section, desk, timeout_s)
    _rest(section, strategy)
    if mode == "conditional":
        strategy.remark("mode", "conditions within a target have no counterpart; its first target serves")
    if not parts:
        return None
    return (
        _balanced(section, parts, timeout_s)
        if mode == "loadbalance"
        else _one_after_another(parts, timeout_s)
    )


def _parts(section: Section, desk: _Desk, timeout_s: float | None) -> list[tuple[_Branch, float]]:
    """The targets that can be called, with their weights."""
    parts = []
    for target in section.sections("targets"):
        weight, name = target.number("weight"), target.text("name")
        branch = _branch(target, desk, timeout_s)
        if branch is not None:
            parts.append((branch, 1.0 if weight is None else weight))
            if name is not None:
                desk.by_name[name] = branch
    return parts


def _one_after_another(parts: Sequence[tuple[_Branch, float]], timeout_s: float | None) -> _Branch:
    first = parts[0][0]
    rest = [group for branch, _ in parts[1:] for group in (branch.first, *branch.fallbacks)]
    chain = tuple(dict.fromkeys((*first.fallbacks, *rest)))
    return _Branch(first.first, chain, first.shares, timeout_s or first.timeout_s)


def _balanced(section: Section, parts: Sequence[tuple[_Branch, float]], timeout_s: float | None) -> _Branch:
    """A weighted split over models is an experiment of ours; one over deployments of a model is none."""
    weights: dict[str, float] = {}
    for branch, weight in parts:
        weights[branch.first] = weights.get(branch.first, 0.0) + weight
    shares = tuple((group, weight) for group, weight in weights.items() if weight > 0)
    chain = tuple(dict.fromkeys(group for branch, _ in parts for group in branch.fallbacks))
    first = shares[0][0] if shares else parts[0][0].first
    if len(shares) < 2:
        return _Branch(first, chain, (), timeout_s)
    section.remark(
        "strategy", "the split became an experiment in mode ab, a draft until: pointsman start NAME"
    )
    if len(shares) < len(weights):
        section.remark("targets", "those of weight 0 take no part in the split")
    others = tuple(group for group in weights if group != first)
    return _Branch(first, tuple(dict.fromkeys((*chain, *others))), shares, timeout_s)


def _conditional(root: Section, strategy: Section, desk: _Desk) -> None:
    """Conditions on metadata become match rules, in their order; the default serves what is unknown."""
    timeout_ms = root.number("request_timeout")
    desk.draft.timeout_s = min(timeout_ms / 1e3, 3600.0) if timeout_ms else None
    parts = _parts(root, desk, None)
    for condition in strategy.sections("conditions"):
        _condition(condition, desk)
    default = strategy.text("default")
    branch = desk.by_name.get(default or "")
    if branch is None and parts:
        branch = parts[0][0]
        strategy.source.remark(
            strategy.loc, "names no default that can be called; the first target serves instead"
        )
    if branch is not None:
        desk.draft.default, desk.draft.fallbacks = branch.first, list(branch.fallbacks)
        if branch.shares:
            strategy.remark(
                "default", "its split was left out: requests of no task take part in no experiment"
            )
    _rest(root, strategy)


def _condition(condition: Section, desk: _Desk) -> None:
    target = condition.text("then") or ""
    branch = desk.by_name.get(target)
    metadata = _equalities(condition.section("query"))
    if branch is None:
        condition.remark("then", "names no target that can be called; the condition was left out")
    elif metadata is None:
        condition.remark(
            "query", "is more than equality of metadata, which is all that match rules say; left out"
        )
    else:
        task = _task(branch)
        task.metadata = metadata
        name = name_of(target, desk.draft.tasks)
        desk.draft.tasks[name] = task
        condition.source.remark(
            condition.loc, f"became the task {name}, for requests to model auto with this metadata"
        )
    condition.rest()


def _equalities(query: Section) -> dict[str, str] | None:
    """Metadata that must be equal, all of it; None for any other condition."""
    found: dict[str, str] = {}
    for key in query:
        if key == "$and":
            for inner in query.sections(key):
                equal = _equalities(inner)
                if equal is None:
                    return None
                found |= equal
            continue
        value = query.take(key)
        if isinstance(value, dict) and value.keys() == {"$eq"}:
            value = value["$eq"]
        name = key.removeprefix(_METADATA)
        if name == key or not name or name_of(name) != name or not isinstance(value, str) or len(value) > 200:
            return None
        found[name] = value
    return found or None


def _rest(section: Section, strategy: Section) -> None:
    strategy.remark_if(
        "on_status_codes", "has no counterpart: every failure that another model may mend goes on"
    )
    strategy.rest()
    for key in ("weight", *_REASONS):
        if key in ("name", "weight"):
            section.take(key)
        else:
            section.remark_if(key, _REASONS[key])
    section.remark_if("override_params", "stands beside targets; write it into each target")
    section.rest()
