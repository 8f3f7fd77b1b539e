"""Fixtures of the router's tests."""

from collections.abc import Iterator

import pytest

from tests.router.worlds import World, world


@pytest.fixture
def small_world() -> Iterator[World]:
    """The world of `worlds.document`, its experiment running."""
    made = world()
    yield made
    made.close()
