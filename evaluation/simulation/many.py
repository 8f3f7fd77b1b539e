"""Many runs of one specification, spread over processes; the result does not depend on how many there are."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context

from evaluation.simulation.spec import Spec
from evaluation.simulation.trial import Trial, run_trial

MOST_RUNS = 10_000


def run_many(
    spec: Spec, runs: int, jobs: int = 1, advance: Callable[[int], object] = int
) -> tuple[Trial, ...]:
    """Runs 0 to `runs` - 1 in their order; `advance` hears of finished runs, or of served requests if there is one."""
    if not 1 <= runs <= MOST_RUNS:
        raise ValueError(f"runs == {runs}, must be 1 to {MOST_RUNS:,}")
    if runs == 1:
        return (run_trial(spec, 0, advance),)
    found = []
    for trial in _finished(spec, runs, jobs):
        found.append(trial)
        advance(1)
    return tuple(sorted(found, key=lambda trial: trial.number))


def _finished(spec: Spec, runs: int, jobs: int) -> Iterator[Trial]:
    """Runs as they end; one job stays in this process."""
    one = partial(run_trial, spec)
    if jobs == 1:
        yield from map(one, range(runs))
        return
    with ProcessPoolExecutor(min(jobs, runs), mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(one, number) for number in range(runs)]):
            yield future.result()
