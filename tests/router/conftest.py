"""Fixtures of the router's tests."""

from collections.abc import Iterator

import pytest

from tests.router.pursuing import Servers
from tests.router.worlds import World, world
from tests.servers.house import House, upstreams
from tests.servers.upstream import answer


@pytest.fixture
def small_world() -> Iterator[World]:
    """The world of `worlds.document`, its experiment running."""
    made = world()
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """An upstream for each name in the module's UPSTREAMS."""
    with upstreams(*request.module.UPSTREAMS) as servers:
        yield servers


@pytest.fixture
def servers(running: Servers) -> Servers:
    """The same, well-behaved at first."""
    for server in running.values():
        server.will(answer())
        server.requests.clear()
        server.left_after_s.clear()
    return running


@pytest.fixture
def opened() -> Iterator[list[House]]:
    """Houses to close."""
    houses: list[House] = []
    yield houses
    for house in houses:
        house.close()
