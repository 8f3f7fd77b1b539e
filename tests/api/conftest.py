"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from tests.api.shell import EXAMPLE, Shell


@pytest.fixture
def fresh(tmp_path: Path) -> Shell:
    """A shell without a ledger yet."""
    return Shell(tmp_path / "ledger.sqlite")


@pytest.fixture
def shell(fresh: Shell) -> Shell:
    """A shell whose ledger holds the example configuration."""
    fresh.run("apply", str(EXAMPLE), "--why", "first")
    return fresh
