"""Fixtures of the command line's tests, and of a gateway that is served; each module has a house of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.shell import EXAMPLE, Shell
from tests.servers.house import House, serving, upstreams
from tests.servers.upstream import UpstreamServer


@pytest.fixture
def fresh(tmp_path: Path) -> Shell:
    """A shell without a ledger yet."""
    return Shell(tmp_path / "ledger.sqlite")


@pytest.fixture
def shell(fresh: Shell) -> Shell:
    """A shell whose ledger holds the example configuration."""
    fresh.run("apply", str(EXAMPLE), "--why", "first")
    return fresh


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, UpstreamServer]]:
    """An upstream for each of two models."""
    with upstreams("big", "small") as running:
        yield running


@pytest.fixture(scope="module")
def url(house: House) -> Iterator[str]:
    """The module's gateway on a real server."""
    with serving(house) as base_url:
        yield base_url
