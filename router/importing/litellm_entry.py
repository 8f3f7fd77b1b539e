"""One entry of LiteLLM's `model_list`: a deployment of the group that it names."""

from router.importing.deployments import Keys, Place, extra_body, place_of
from router.importing.draft import Deployment, name_of
from router.importing.source import Section
from router.importing.upstreams import provider_by_model

_SERVED = ("chat", "completion", "embedding", "responses")
_MILLION = 1_000_000
_PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
_ABILITIES = {
    "context_tokens": "max_input_tokens",
    "max_output_tokens": "max_output_tokens",
    "tools": "supports_function_calling",
    "vision": "supports_vision",
    "audio": "supports_audio_input",
    "json_mode": "supports_response_schema",
}
_TIMEOUTS = {"total_s": "timeout", "first_token_s": "stream_timeout"}
_ABOVE = ((128_000, "above_128k_tokens"), (200_000, "above_200k_tokens"))
_REASONS = {
    "id": "has no counterpart: a deployment is known by its place",
    "base_model": "has no counterpart; if no price is found, give models.<name>.price",
    "organization": "is not sent; use a key of that organisation",
    "extra_headers": "are not sent; a proxy before the upstream can add them",
    "max_retries": "has no counterpart for one model; retries of a task and of the file hold for all",
    "num_retries": "has no counterpart for one model; retries of a task and of the file hold for all",
    "mock_response": "has no counterpart and would answer without a model",
    "max_parallel_requests": "has no counterpart for one model",
    "drop_params": "has no counterpart: fields that no model allows are always dropped",
}


def read_entry(entry: Section, keys: Keys) -> Deployment | None:
    """The deployment of an entry; None, with a remark, where we cannot call it."""
    params, info = entry.section("litellm_params"), entry.section("model_info")
    mode = info.text("mode") or "chat"
    if mode not in _SERVED:
        info.remark("mode", f"{mode[:40]!r} is no endpoint of ours; the model was left out")
        return None
    called = params.text("model")
    if called is None:
        entry.source.remark(entry.loc, "names no litellm_params.model and was left out")
        return None
    provider, model = _provider(params, called)
    if provider is None:
        params.remark(
            "model", f"{called[:80]!r} names no provider that is known here; the model was left out"
        )
        return None
    place = place_of(params, provider, keys)
    return None if place is None else _deployment(entry, params, info, place, model)


def _provider(params: Section, called: str) -> tuple[str | None, str]:
    """Provider and the name that it knows the model by."""
    named = params.text("custom_llm_provider")
    first, slash, rest = called.partition("/")
    if named is not None:
        return named, rest if slash and first == named else called
    if slash:
        return first, rest
    return provider_by_model(called) or ("own" if params.has("api_base") else None), called


def _deployment(entry: Section, params: Section, info: Section, place: Place, model: str) -> Deployment:
    presets = {**extra_body(params), **_extra(params)}
    price, limits = _price(params, info), _limits((params, info, entry))
    weight = params.number("weight") or None
    abilities, timeouts = _abilities(params, info), _timeouts(params)
    for section in (params, info):
        for key in section:
            if key in _REASONS:
                section.remark_if(key, _REASONS[key])
        section.rest()
    entry.rest()
    upstream = place.upstream
    return Deployment(
        upstream.provider, upstream.dialect, place.base_url, place.key_env, model, price, presets, limits, weight,
        abilities, timeouts,
    )  # fmt: skip


def _abilities(params: Section, info: Section) -> dict[str, object]:
    """What the file says of the model; what only its gateway knows by heart stays unknown."""
    found: dict[str, object] = {}
    for name, key in _ABILITIES.items():
        if name.endswith("_tokens"):
            tokens = info.number(key)
            found |= {name: int(tokens)} if tokens else {}
        elif isinstance(able := info.take(key), bool):
            found[name] = able
    tags = params.take("tags")
    if isinstance(tags, list) and tags and all(isinstance(tag, str) and name_of(tag) == tag for tag in tags):
        found["tags"] = tags
    elif tags is not None:
        params.remark("tags", "are no plain words and were left out")
    return found


def _timeouts(params: Section) -> dict[str, float]:
    given = {name: params.number(key) for name, key in _TIMEOUTS.items()}
    return {name: min(seconds, 3600.0) for name, seconds in given.items() if seconds}


def _extra(params: Section) -> dict[str, object]:
    body = params.section("extra_body")
    return {key: body.take(key) for key in body}


def _limits(sections: tuple[Section, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in ("rpm", "tpm"):
        values = [value for section in sections if (value := section.number(name))]
        if values:
            found[name] = int(values[0])
    return found


def _price(params: Section, info: Section) -> dict[str, object] | None:
    """US dollars per million tokens from US dollars per token; where input or output lacks, the bundled list holds."""
    price: dict[str, object] = dict(_rates(params, info, ""))
    tiers = [
        {"above_input_tokens": bound, **rates}
        for bound, suffix in _ABOVE
        if {"input", "output"} <= (rates := _rates(params, info, "_" + suffix)).keys()
    ]
    if not price:
        return None
    if not {"input", "output"} <= price.keys():
        section, key = next((s, k) for s in (params, info) for k in _PRICES.values() if s.has(k))
        section.remark(key, "prices of input and output belong together; the bundled price list holds")
        return None
    kept = [tier for tier in tiers if tier.keys() - {"above_input_tokens"} == price.keys()]
    if len(kept) < len(tiers):
        params.source.remark(
            params.loc, "prices of longer contexts do not cover what the base prices; left out"
        )
    return price | ({"tiers": kept} if kept else {})


def _rates(params: Section, info: Section, suffix: str) -> dict[str, float]:
    rates = {}
    for name, key in _PRICES.items():
        values = [value for section in (params, info) if (value := section.number(key + suffix)) is not None]
        if values:
            rates[name] = float(f"{values[0] * _MILLION:.10g}")
    return rates
