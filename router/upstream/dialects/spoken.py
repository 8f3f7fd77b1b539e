"""Which endpoints are spoken in which dialect."""

from collections.abc import Mapping

from router.config.model import DialectName
from router.upstream.call import Endpoint
from router.upstream.dialects import anthropic, openai
from router.upstream.exchange import Exchange, Untranslatable

EXCHANGES: Mapping[tuple[DialectName, Endpoint], Exchange] = {
    ("openai", "chat"): openai.Chat(),
    ("openai", "embeddings"): openai.Embeddings(),
    ("openai", "responses"): openai.Responses(),
    ("anthropic", "chat"): anthropic.Messages(),
}


def exchange_of(dialect: DialectName, endpoint: Endpoint) -> Exchange:
    """How to speak; raises Untranslatable where the dialect has no such endpoint."""
    found = EXCHANGES.get((dialect, endpoint))
    if found is None:
        raise Untranslatable(f"its API ({dialect}) has no {endpoint} endpoint")
    return found
