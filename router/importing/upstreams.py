"""Upstreams that other gateways know by name: where they are, what they speak, how their key is usually called."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownUpstream:
    """One provider as other gateways name it."""

    provider: str
    """Its name in the bundled price list."""
    base_url: str | None
    """None where each customer has one's own."""
    key_env: str | None
    dialect: str = "openai"


_KNOWN = {
    "openai": KnownUpstream("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": KnownUpstream("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "anthropic"),
    "azure": KnownUpstream("azure", None, "AZURE_API_KEY"),
    "mistral": KnownUpstream("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "groq": KnownUpstream("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "deepseek": KnownUpstream("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "xai": KnownUpstream("x-ai", "https://api.x.ai/v1", "XAI_API_KEY"),
    "together": KnownUpstream("together", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "fireworks": KnownUpstream("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    "openrouter": KnownUpstream("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "perplexity": KnownUpstream("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "cerebras": KnownUpstream("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "google": KnownUpstream(
        "google", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"
    ),
    "ollama": KnownUpstream("ollama", "http://localhost:11434/v1", None),
    "own": KnownUpstream("own", None, None),
}
_ALIASES = {
    "azure-openai": "azure", "azure_ai": "azure", "custom_openai": "own", "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks", "gemini": "google", "hosted_vllm": "own", "lm_studio": "own", "mistral-ai": "mistral",
    "ollama_chat": "ollama", "openai_like": "own", "perplexity-ai": "perplexity", "text-completion-openai": "openai",
    "together-ai": "together", "together_ai": "together", "vllm": "own", "x-ai": "xai",
}  # fmt: skip
_BY_MODEL = {
    "gpt-": "openai", "chatgpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai",
    "text-embedding-": "openai", "claude": "anthropic",
}  # fmt: skip
OWN_SIGNATURES = {
    "bedrock": "requests to AWS are signed with AWS credentials; write it by hand, with dialect bedrock",
    "sagemaker": "requests to AWS are signed with AWS credentials",
    "vertex-ai": "Vertex AI asks for Google credentials that expire",
    "vertex_ai": "Vertex AI asks for Google credentials that expire",
}
"""Providers that no base URL and bearer key can reach, with the reason."""


def known_upstream(name: str) -> KnownUpstream | None:
    """What is known of a provider under any of its names.

    >>> known_upstream("together_ai").base_url
    'https://api.together.xyz/v1'
    """
    return _KNOWN.get(_ALIASES.get(name, name))


def provider_by_model(model: str) -> str | None:
    """The provider of a model that is named without one.

    >>> provider_by_model("gpt-4.1"), provider_by_model("llama-3")
    ('openai', None)
    """
    return next((name for start, name in _BY_MODEL.items() if model.startswith(start)), None)


def provider_by_slug(slug: str) -> str | None:
    """The provider that the name of a stored key begins with.

    >>> provider_by_slug("anthropic-prod"), provider_by_slug("my-key")
    ('anthropic', None)
    """
    known = sorted({*_KNOWN, *_ALIASES} - {"own"}, key=len, reverse=True)
    return next((name for name in known if slug == name or slug.startswith((name + "-", name + "_"))), None)
