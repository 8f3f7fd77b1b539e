"""Options of the whole suite."""

import gc
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile(
    "suite", deadline=None, max_examples=50
)  # how long one takes is the machine's business
settings.register_profile("soak", deadline=None, max_examples=1_000)
settings.load_profile("suite")
TESTS = Path(__file__).parent
LONGEST = (
    "evaluation/test_calibration_mutations.py", "clients", "examples", "process", "api/test_serve.py",
    "evaluation/test_calibration.py", "experiments/test_tick_error_rates.py", "bandit/test_regret.py", "faults",
    "evaluation/test_deciding.py", "experiments/test_money_objectives.py", "evaluation/test_simulation.py",
    "evaluation/test_replay.py", "docs", "api/test_batches.py", "router/test_holdback.py", "router/test_planner.py",
    "storage/test_store_laws.py", "storage/test_store_agreement.py", "experiments/test_strict.py",
)  # fmt: skip
"""Files and folders of more than a hundredth of the suite each, the longest first."""


SELDOM = (20_000, 20, 20)
"""Objects between two garbage collections: simulations make many and no cycles."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long starts first: at the end no worker waits for another one's long file."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        homes = (item.path, *item.path.parents)
        return next((places[home] for home in homes if home in places), len(places))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What collection made lasts to the end: no garbage collection need look at it, and tests collect often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SELDOM)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often the crash test kills, and each fault is injected: `make soak` raises both."""
    parser.addoption("--kills", type=int, default=5, help="kills of the crash test (tests/process)")
    parser.addoption("--rounds", type=int, default=1, help="rounds of every fault (tests/faults)")


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    """How often each fault is injected."""
    return int(request.config.getoption("--rounds"))
