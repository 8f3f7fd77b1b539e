"""LiteLLM's proxy configuration: each model group becomes a model and a task of the same name."""

from collections.abc import Mapping

from router.importing.deployments import Keys
from router.importing.draft import Draft, TaskDraft, name_of
from router.importing.litellm_entry import read_entry
from router.importing.source import Section, Source, refused

_BALANCE = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "lowest_latency",
    "cost-based-routing": "cheapest",
}
MOST_RETRIES = 5
_CAUSES = {"context_window_fallbacks": "context_overflow", "content_policy_fallbacks": "refusal"}
_REASONS = {
    "master_key": "was not copied; make keys for clients with: pointsman keys create",
    "database_url": "was not copied; the ledger is chosen with --store or POINTSMAN_STORE",
    "store_model_in_db": "has no counterpart: models stand in the file, and apply changes them",
    "retry_after": "has no counterpart: an upstream's own retry-after is passed on",
    "cache": "has no counterpart: answers are not cached",
    "drop_params": "has no counterpart: fields that no model allows are always dropped",
    "redis_host": "has no counterpart here; several nodes share a ledger in Redis (POINTSMAN_STORE)",
    "redis_port": "has no counterpart here; several nodes share a ledger in Redis (POINTSMAN_STORE)",
    "redis_password": "was not copied; several nodes share a ledger in Redis (POINTSMAN_STORE)",
    "success_callback": "has no counterpart: calls are kept in the ledger (pointsman export) and counted on /metrics",
    "failure_callback": "has no counterpart: calls are kept in the ledger (pointsman export) and counted on /metrics",
    "callbacks": "has no counterpart: calls are kept in the ledger (pointsman export) and counted on /metrics",
}


def from_litellm(source: Source, variables: Mapping[str, str]) -> Draft:
    """What a proxy's file says, in our terms; raises ConfigInvalid if no model of it can be called."""
    root, draft, keys = source.root, Draft(), Keys(variables)
    groups: dict[str, str] = {}
    for entry in root.sections("model_list"):
        _read_group(entry, draft, groups, keys)
    if not draft.groups:
        why = "; ".join(f"line {each.line}: {each.message}" for each in source.remarks[:5])
        raise refused(source.name, f"no model of it can be called here ({why or 'model_list is empty'})")
    draft.default = next(iter(draft.groups))
    source.remark(
        ("model_list",),
        f"default: {draft.default}, the first model; it serves requests whose task is unknown",
    )
    draft.tasks = {name: TaskDraft(name) for name in draft.groups}
    settings = (root.section("litellm_settings"), root.section("router_settings"))
    for section in settings:
        _read_settings(section, draft, groups)
    for section in (*settings, root.section("general_settings")):
        _rest(section)
    root.remark_if("environment_variables", "was not copied: variables belong to the server's environment")
    root.rest()
    return draft


def _read_group(entry: Section, draft: Draft, groups: dict[str, str], keys: Keys) -> None:
    called = entry.text("model_name")
    if called is None:
        entry.source.remark(entry.loc, "names no model_name and was left out")
        return
    if "*" in called:
        entry.remark("model_name", "stands for any name and was left out; declare each model")
        return
    deployment = read_entry(entry, keys)
    if deployment is None:
        return
    if called not in groups:
        groups[called] = name_of(called, draft.groups)
        if groups[called] != called:
            entry.remark("model_name", f"became {groups[called]!r}, which clients then ask for")
    draft.groups.setdefault(groups[called], []).append(deployment)


def _read_settings(section: Section, draft: Draft, groups: Mapping[str, str]) -> None:
    strategy = section.text("routing_strategy")
    if strategy is not None:
        draft.balance = _BALANCE.get(strategy, "weighted")
        if strategy not in _BALANCE:
            section.remark(
                "routing_strategy", f"{strategy[:60]!r} has no counterpart; weighted is the nearest"
            )
    _read_patience(section, draft)
    for group, chain in _chains(section, "fallbacks", groups).items():
        draft.tasks[group].fallbacks = chain
    for key, cause in _CAUSES.items():
        for group, chain in _chains(section, key, groups).items():
            draft.tasks[group].fallbacks_on[cause] = chain
    draft.fallbacks += _named(section, section.take("default_fallbacks"), ("default_fallbacks",), groups)
    aliases = section.section("model_group_alias")
    for alias in aliases:
        _alias(section, alias, aliases.take(alias), draft, groups)


def _read_patience(section: Section, draft: Draft) -> None:
    """Waits, retries and pauses."""
    for key in ("request_timeout", "timeout"):
        seconds = section.number(key)
        if seconds:
            draft.timeout_s = min(seconds, 3600.0)
            section.remark(key, "holds for all attempts of a request together here, there for each")
    retries, fails, pause_s = (
        section.number(key) for key in ("num_retries", "allowed_fails", "cooldown_time")
    )
    if retries is not None:
        draft.retries = min(int(retries), MOST_RETRIES)
        if retries > MOST_RETRIES:
            section.remark("num_retries", f"became {MOST_RETRIES}, the most that a request is retried here")
    if fails:
        draft.cooldown["failures"] = min(int(fails), 1_000)
    if pause_s:
        draft.cooldown |= {"first_s": min(pause_s, 3600.0), "longest_s": min(max(pause_s, 300.0), 3600.0)}
        section.remark("cooldown_time", "is the first pause here; each further one is twice as long")


def _chains(section: Section, key: str, groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Fallbacks by group; those of and to models that are not here are remarked upon."""
    found: dict[str, list[str]] = {}
    for index, entry in enumerate(section.sections(key)):
        for called in entry:
            chain = _named(section, entry.take(called), (key, index, called), groups)
            if called in groups:
                found[groups[called]] = [name for name in chain if name != groups[called]]
            else:
                entry.remark(called, "is no model that was carried over; its fallbacks were left out")
    return found


def _named(
    section: Section, value: object, loc: tuple[str | int, ...], groups: Mapping[str, str]
) -> list[str]:
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    chain = []
    for name in names:
        if isinstance(name, str) and name in groups:
            chain.append(groups[name])
        else:
            shown = repr(name[:60]) if isinstance(name, str) else "one of them"
            section.source.remark(
                (*section.loc, *loc), f"{shown} is no model that was carried over; left out here"
            )
    return list(dict.fromkeys(chain))


def _alias(section: Section, alias: str, target: object, draft: Draft, groups: Mapping[str, str]) -> None:
    inner = target.get("model") if isinstance(target, dict) else target
    loc = (*section.loc, "model_group_alias", alias)
    if not isinstance(inner, str) or inner not in groups:
        section.source.remark(loc, "points to no model that was carried over and was left out")
        return
    name = name_of(alias, draft.tasks)
    draft.tasks[name] = TaskDraft(groups[inner], list(draft.tasks[groups[inner]].fallbacks))
    section.source.remark(loc, f"became a task; clients ask for task/{name}")


def _rest(section: Section) -> None:
    for key in section:
        if key in _REASONS:
            section.remark_if(key, _REASONS[key])
    section.rest()
