"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often the crash test kills, and each fault is injected: `make soak` raises both."""
    parser.addoption("--kills", type=int, default=10, help="kills of the crash test (tests/process)")
    parser.addoption("--rounds", type=int, default=1, help="rounds of every fault (tests/faults)")


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    """How often each fault is injected."""
    return int(request.config.getoption("--rounds"))
