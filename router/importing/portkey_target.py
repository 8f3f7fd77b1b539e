"""One target of Portkey's configuration that calls a model itself."""

from collections.abc import Mapping

from router.importing.deployments import Keys, Place, extra_body, place_of
from router.importing.draft import Deployment, Draft, name_of, variable_of
from router.importing.source import Section
from router.importing.upstreams import provider_by_slug


def read_target(
    target: Section, draft: Draft, keys: Keys, model: str | None, reasons: Mapping[str, str]
) -> str | None:
    """The group that a target became; None, with a remark, where we cannot call it."""
    params = target.section("override_params")
    called = params.text("model") or model
    if called is None:
        message = (
            "leaves the model to the client, and was left out; name one with --model, or in override_params"
        )
        target.source.remark(target.loc, message)
        return None
    provider, called, slug = _provider(target, called)
    if provider is None:
        target.source.remark(target.loc, f"its provider cannot be told{_of(slug)}; was left out")
        return None
    place = place_of(target, provider, keys, "custom_host")
    if place is None:
        return None
    deployment = _deployment(target, params, place, called, slug)
    _rest(target, params, reasons)
    return _grouped(draft, deployment)


def _of(slug: str | None) -> str:
    return "" if slug is None else " from the name of its stored key"


def _provider(target: Section, called: str) -> tuple[str | None, str, str | None]:
    """Provider, the model's name there, and the name of the key that the other gateway stores."""
    slug = target.text("virtual_key")
    provider = target.text("provider")
    if called.startswith("@") and "/" in called:
        provider, _, called = called.partition("/")
    if provider is not None and provider.startswith("@"):
        slug, provider = provider[1:], None
    if provider is None and slug is not None:
        provider = provider_by_slug(slug) or ("own" if target.has("custom_host") else None)
    return provider or ("own" if target.has("custom_host") else None), called, slug


def _deployment(target: Section, params: Section, place: Place, model: str, slug: str | None) -> Deployment:
    key_env = place.key_env
    if slug is not None:
        key_env = variable_of(slug)
        where = next((key for key in ("virtual_key", "provider") if target.has(key)), "override_params")
        target.remark(where, f"names a key that is stored elsewhere; put the key into the variable {key_env}")
    upstream = place.upstream
    return Deployment(
        upstream.provider,
        upstream.dialect,
        place.base_url,
        key_env,
        model,
        extra_body=extra_body(params),
        weight=target.number("weight") or None,
    )


def _rest(target: Section, params: Section, reasons: Mapping[str, str]) -> None:
    params.rest()
    for key in ("name", "weight", "strategy", "request_timeout"):
        target.take(key)
    for key, reason in reasons.items():
        if key != "name":
            target.remark_if(key, reason)
    target.rest()


def _grouped(draft: Draft, deployment: Deployment) -> str:
    """The group of the same model at the same provider, else a new one."""
    for name, group in draft.groups.items():
        if group[0].model == deployment.model and group[0].same_model(deployment):
            if deployment not in group:
                group.append(deployment)
            return name
    name = name_of(deployment.model, draft.groups)
    draft.groups[name] = [deployment]
    return name
