"""What a line asks for: read by the very code that reads the bodies of the endpoints, as a batch request."""

from collections.abc import Mapping
from typing import Any

from router.deciding.snapshot import Snapshot
from router.errors import InvalidRequest
from router.upstream.call import Call, Endpoint
from router.upstream.chat import read_chat
from router.upstream.embeddings import read_embeddings
from router.upstream.features import with_features
from router.upstream.hints import dump_fields
from router.upstream.responses import read_response

ENDPOINTS: Mapping[str, Endpoint] = {
    "/v1/chat/completions": "chat", "/v1/embeddings": "embeddings", "/v1/responses": "responses",
}  # fmt: skip
_READERS = {"chat": read_chat, "embeddings": read_embeddings, "responses": read_response}
_LATENCY = ((b"x-pointsman-latency", b"batch"),)
"""A header goes before metadata: nothing in a batch is interactive."""


def read_asked(body: Mapping[str, Any], endpoint: str, snapshot: Snapshot) -> Call:  # reason: a client's JSON
    """The call of a line; raises InvalidRequest naming the field."""
    allowed = frozenset().union(*(model.allow_fields for model in snapshot.models.values()))
    read = _READERS[ENDPOINTS[endpoint]]
    call = read(dump_fields(body), _LATENCY, snapshot.rules.reads_text, allowed)
    if call.stream:
        raise InvalidRequest("a batch has no streams; leave stream out", "stream")
    return with_features(call, snapshot)
