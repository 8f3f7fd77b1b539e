"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills N`: how often the crash test kills the servers; `make soak` raises it."""
    parser.addoption("--kills", type=int, default=10, help="kills of the crash test (tests/process)")
