"""Writing a draft as a configuration file that `validate` accepts, with all that was not carried over as comments."""

import json
import re
from collections.abc import Iterable, Mapping

from router.applying.file import ConfigFile, parse_config
from router.importing.draft import Deployment, Draft, TaskDraft, name_of
from router.importing.source import Source

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?::[A-Za-z0-9_./-]+)*")
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def write(draft: Draft, source: Source, made_by: str) -> str:
    """The file, comments first; raises ConfigInvalid where `validate` would refuse it."""
    text = _lines(_document(draft, _named_parts(draft)))
    accepted = parse_config(text, source.name)
    return _comments(draft, source, made_by, accepted) + text


# What is written


def _named_parts(draft: Draft) -> dict[str, dict[str, list[Deployment]]]:
    """By group, the models that it became with the deployments of each; the first has the group's name."""
    taken: dict[str, object] = dict(draft.groups)
    named: dict[str, dict[str, list[Deployment]]] = {}
    for group, deployments in draft.groups.items():
        named[group] = {}
        for part in _parts(deployments):
            name = group if not named[group] else name_of(group, taken)
            taken[name] = named[group][name] = part
    return named


def _parts(deployments: list[Deployment]) -> list[list[Deployment]]:
    """Deployments by the model that they can stand under together."""
    parts: list[list[Deployment]] = []
    for each in deployments:
        fitting = [part for part in parts if part[0].same_model(each)]
        if fitting:
            fitting[0].append(each)
        else:
            parts.append([each])
    return parts


def _document(draft: Draft, named: Mapping[str, Mapping[str, list[Deployment]]]) -> dict[str, object]:
    names = {group: list(parts) for group, parts in named.items()}
    models = {name: _model(name, part, draft) for parts in named.values() for name, part in parts.items()}
    document: dict[str, object] = {"models": models, "default": names[draft.default][0]}
    document |= _given(
        fallbacks=_chain(draft.fallbacks, names, draft.default), timeout_s=draft.timeout_s, retries=draft.retries,
        cooldown=draft.cooldown, tasks={name: _task(task, names, draft) for name, task in draft.tasks.items()},
    )  # fmt: skip
    splits = {name + "-split": _split(name, task, names) for name, task in draft.tasks.items() if task.shares}
    return document | _given(experiments=splits)


def _given(**fields: object) -> dict[str, object]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value is not None and value not in ([], {})}


def _model(name: str, part: list[Deployment], draft: Draft) -> dict[str, object]:
    first = part[0]
    fields = {
        "provider": first.provider,
        **_given(dialect=first.dialect if first.dialect != "openai" else None),
    }
    fields |= _place(first, name) | _given(
        price=first.price, extra_body=first.extra_body, timeouts=first.timeouts
    )
    fields |= first.abilities
    if len(part) == 1:
        return fields | _given(limits=first.limits)
    places = [
        _place(each) | _given(weight=each.weight, limits=each.limits)
        | _given(price=each.price if each.price != first.price else None)
        for each in part
    ]  # fmt: skip
    return fields | {"deployments": places} | _given(balance=draft.balance)


def _place(deployment: Deployment, name: str = "") -> dict[str, object]:
    """Where it is; a model's own name need not be said twice."""
    model = deployment.model if deployment.model != name else None
    return {"base_url": deployment.base_url, **_given(api_key_env=deployment.key_env, model=model)}


def _chain(groups: Iterable[str], names: Mapping[str, list[str]], default: str) -> list[str]:
    """Models of the groups in their order, each once and none that is the default already."""
    first = names[default][0]
    wanted = (*names[default][1:], *(name for group in groups for name in names[group]))
    return [name for name in dict.fromkeys(wanted) if name != first]


def _task(task: TaskDraft, names: Mapping[str, list[str]], draft: Draft) -> dict[str, object]:
    fields: dict[str, object] = {"default": names[task.default][0]}
    fallbacks = _chain(task.fallbacks or draft.fallbacks, names, task.default)
    if fallbacks or draft.fallbacks:
        fields["fallbacks"] = fallbacks
    causes = {
        cause: [name for group in groups for name in names[group]]
        for cause, groups in task.fallbacks_on.items()
    }
    match = {"metadata": task.metadata} if task.metadata else None
    return fields | _given(fallbacks_on=causes, timeout_s=task.timeout_s, match=match)


def _split(task: str, drafted: TaskDraft, names: Mapping[str, list[str]]) -> dict[str, object]:
    """A weighted split over models is an experiment; it starts when a person starts it."""
    whole = sum(share for _, share in drafted.shares)
    shares = [round(share / whole, 9) for _, share in drafted.shares]
    shares[0] = round(1.0 - sum(shares[1:]), 9)
    candidates = [names[group][0] for group, _ in drafted.shares]
    return {"task": task, "candidates": candidates, "mode": "ab", "shares": shares}


# How it is written


def _lines(document: Mapping[str, object]) -> str:
    """Entries of a section on a line each, as people write them."""
    lines = []
    for key, value in document.items():
        if key in ("models", "tasks", "experiments") and isinstance(value, Mapping):
            lines.append(f"{key}:")
            lines += [f"  {_flow(name)}: {_flow(entry)}" for name, entry in value.items()]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML
    return str(value) if plain else json.dumps(value)


def _comments(draft: Draft, source: Source, made_by: str, accepted: ConfigFile) -> str:
    lines = [f"Made by `{made_by}` from {source.name}.", "Read it, then: pointsman validate, plan, apply."]
    lines += [
        f"Deployments of {group} differ in provider, presets or abilities: they became a model each, the first with "
        "the others as fallbacks, and traffic is not balanced among them."
        for group, deployments in draft.groups.items()
        if len(_parts(deployments)) > 1
    ]
    ordered = sorted(source.remarks, key=lambda each: (each.line, each.column))
    if ordered:
        lines += ["", f"Not carried over as it stands there ({len(ordered)}):"]
        lines += [f"  line {each.line}, {each.field}: {each.message}" for each in ordered]
    if accepted.warnings:
        lines += ["", "To look at:", *(f"  {each.field}: {each.message}" for each in accepted.warnings)]
    shown = ("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    return "".join(f"# {line}".rstrip() + "\n" for line in shown) + "\n"
