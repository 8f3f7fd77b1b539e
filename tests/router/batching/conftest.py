"""An upstream with both batch APIs, and works over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.router.batching.works import answering, works_of
from tests.servers.batch_upstream import BatchUpstream, batch_upstream
from tests.servers.batching import Works


@pytest.fixture
def upstream() -> Iterator[BatchUpstream]:
    """An upstream with both batch APIs."""
    with batch_upstream() as running:
        yield running


@pytest.fixture
def opened() -> Iterator[list[Works]]:
    """Works to close."""
    made: list[Works] = []
    yield made
    for works in made:
        works.close()


@pytest.fixture
def works(upstream: BatchUpstream, tmp_path: Path, opened: list[Works]) -> Works:
    """Works over OpenAI's batch API."""
    return works_of(upstream, tmp_path, opened)


@pytest.fixture(autouse=True)
def in_its_dialect(request: pytest.FixtureRequest, upstream: BatchUpstream) -> None:
    """Batches of Anthropic's are answered with messages."""
    params = getattr(request.node, "callspec", None)
    if params is not None and "dialect" in params.params:
        answering(upstream, params.params["dialect"])
