"""What a decision costs in process: the choice alone, and `route()` with id and record.

python -m benchmarks.choose
"""

import time
from collections.abc import Callable

from experiments.definition.assignment import arm_at, cumulative, position
from router.applying.plan import seed
from router.config.document import Document
from router.deciding.choose import RouteRequest
from router.deciding.decision_id import Signer, SigningKey
from router.engine import Engine
from router.steering.control import Control
from storage.memory.store import MemoryStore

ROUNDS, CALLS = 5, 20_000
MODEL = {"base_url": "http://127.0.0.1:9/v1", "price": {"input": 1, "output": 2}}


def best_us(call: Callable[[], object]) -> float:
    """Microseconds of one call in CPU time of the calling thread, which the writer thread is no part of.

    The best of some rounds: the one that the machine disturbed least.
    """
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(CALLS):
            call()
        rounds.append((time.thread_time() - began) / CALLS * 1e6)
    return min(rounds)


def engine(arms: int, unit: str = "request") -> Engine:
    """An engine whose task runs an experiment of so many candidates."""
    names = [f"model-{arm}" for arm in range(arms)]
    document = Document.model_validate(
        {
            "models": dict.fromkeys(names, MODEL),
            "default": names[0],
            "tasks": {"task": {}},
            "experiments": {"compare": {"task": "task", "candidates": names, "unit": unit}},
        }
    )
    store = MemoryStore()
    clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
    seed(store, document, clock, "benchmark")
    Control(store, clock).start("compare", "benchmark")
    return Engine(store, Signer(SigningKey(1, b"k" * 32)), 0, clock, follow=False)


def choice_us(arms: int) -> float:
    """Microseconds of hash and bisect alone."""
    boundaries = cumulative((1 / arms,) * arms)
    return best_us(lambda: arm_at(boundaries, position("salt", "unit")))


def route_us(routing: Engine, request: RouteRequest) -> float:
    """Microseconds of `route()`; the engine is closed afterwards."""
    took = best_us(lambda: routing.route(request))
    routing.close()
    return took


def main() -> None:
    """Print a line for each figure."""
    for arms in (2, 20):
        print(f"choose (hash + bisect), K = {arms}: {choice_us(arms):.2f} us")
        print(
            f"route() with id and record, K = {arms}: {route_us(engine(arms), RouteRequest(task='task')):.2f} us"
        )
    sticky = engine(2, "user")
    request = RouteRequest(task="task", user="ann")
    sticky.route(request)
    sticky.recorder.flush()
    print(f"route() of a user held in memory, K = 2: {route_us(sticky, request):.2f} us")


if __name__ == "__main__":
    main()
