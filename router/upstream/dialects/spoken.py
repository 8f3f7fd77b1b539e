"""Which endpoints are spoken in which dialect; those that are not built in were loaded with the configuration."""

from collections.abc import Mapping

from router.config.dialects import BUILT_IN, load_dialect
from router.upstream.call import Endpoint
from router.upstream.dialects import anthropic, openai
from router.upstream.exchange import Exchange, Untranslatable

EXCHANGES: Mapping[tuple[str, Endpoint], Exchange] = {
    ("openai", "chat"): openai.Chat(),
    ("openai", "embeddings"): openai.Embeddings(),
    ("openai", "responses"): openai.Responses(),
    ("anthropic", "chat"): anthropic.Messages(),
}


def exchange_of(dialect: str, endpoint: Endpoint) -> Exchange:
    """How to speak; raises Untranslatable where the dialect has no such endpoint."""
    found = EXCHANGES.get((dialect, endpoint))
    if found is None and dialect not in BUILT_IN:
        found = load_dialect(dialect).exchanges.get(endpoint)
    if found is None:
        raise Untranslatable(f"its API ({dialect}) has no {endpoint} endpoint")
    return found
