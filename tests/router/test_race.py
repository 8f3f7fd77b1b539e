"""The race by itself: one answer, and nothing of what lost or was given up stays behind."""

import asyncio
from contextlib import suppress
from typing import Any, cast

import pytest

from router.errors import UpstreamFailed
from router.upstream.attempt import Attempt
from router.upstream.attempts import AttemptFailed
from router.upstream.race import Race


class Answered:
    """An answer that knows whether it was dropped."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dropped = False

    def drop(self) -> None:
        """Nobody wants it."""
        self.dropped = True


class Runner:
    """An attempt that answers, or fails, after a time."""

    on_answer: Any = None

    def __init__(self, name: str, after_s: float, fails: bool = False) -> None:
        self.answer = Answered(name)
        self.after_s = after_s
        self.fails = fails
        self.slow: bool | None = None
        """How it was told that it lost, if it was."""

    def beaten(self, slow: bool) -> None:
        """The other one answered."""
        self.slow = slow

    async def run(self) -> Answered:
        """Answer, and win."""
        await asyncio.sleep(self.after_s)
        if self.fails:
            raise AttemptFailed(self.answer.name, UpstreamFailed("no"))
        self.on_answer(self)
        return self.answer


async def raced(first: Runner, second: Runner | None, told: list[tuple[Any, bool]]) -> Answered:
    """Run the race, the second one after 50 ms."""
    race: Race[Answered] = Race(cast(Attempt, first), lambda attempt, late: told.append((attempt, late)))

    async def beside() -> Answered | None:
        if second is None:
            return None
        race.enter(cast(Attempt, second))
        return await second.run()

    return await race.run(first.run(), 0.05, beside)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [(Runner("a", 9), Runner("b", 0.01), "b"), (Runner("a", 0.3), Runner("b", 9), "a"),
     (Runner("a", 0.2, fails=True), Runner("b", 0.4), "b"), (Runner("a", 0.4), Runner("b", 0.1, fails=True), "a"),
     (Runner("a", 0.2), None, "a")],
)  # fmt: skip
def test_whoever_answers_first_is_the_answer(first: Runner, second: Runner | None, winner: str) -> None:
    """The other is told so once, if it still runs, and no task of either is left."""
    told: list[tuple[Any, bool]] = []

    async def story() -> Answered:
        got = await raced(first, second, told)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return got

    got = asyncio.run(story())
    assert (got.name, got.dropped) == (winner, False)
    assert [(attempt.answer.name, late) for attempt, late in told] == [(winner, winner == "b")]
    if second is not None and not first.fails and not second.fails:
        assert (first.slow, second.slow) == ((True, None) if winner == "b" else (None, False))


@pytest.mark.parametrize("second", [None, Runner("b", 0.3, fails=True)])
def test_where_both_fail_the_first_failure_counts(second: Runner | None) -> None:
    """It is the decided model's, and what follows follows from it."""
    with pytest.raises(AttemptFailed) as caught:
        asyncio.run(raced(Runner("a", 0.2, fails=True), second, []))
    assert caught.value.code == "a"


def test_a_bug_in_an_attempt_is_no_failure_of_it() -> None:
    """It must come out, not be taken for a slow upstream."""

    class Broken(Runner):
        async def run(self) -> Answered:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(raced(Runner("a", 9), Broken("b", 0), []))


@pytest.mark.parametrize("given_up", [False, True])
def test_after_its_end_nobody_may_begin(given_up: bool) -> None:
    """A second attempt that was waiting for a limit looks before it starts."""
    first = Runner("a", 9 if given_up else 0.0)
    race: Race[Answered] = Race(cast(Attempt, first), lambda attempt, late: None)

    async def nobody() -> Answered | None:
        return None

    async def story() -> None:
        assert not race.over
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await race.run(first.run(), 0.05, nobody)
        assert race.over

    asyncio.run(story())


def test_an_answer_that_comes_as_its_client_leaves_is_dropped() -> None:
    """A stream that nobody reads would keep its connection to the upstream."""
    first = Runner("a", 0.0)

    async def story() -> None:
        task = asyncio.ensure_future(raced(first, None, []))
        first.on_answer = None
        won = asyncio.Event()
        decide = Race._decide

        def watched(race: Any, winner: Any) -> None:
            decide(race, winner)
            won.set()
            task.cancel()  # in the step of the answer, before the race can return it

        Race._decide = watched  # type: ignore[method-assign]  # reason: the real one is called
        try:
            with suppress(asyncio.CancelledError):
                await task
        finally:
            Race._decide = decide  # type: ignore[method-assign]  # reason: as above
        assert won.is_set()
        await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(story())
    assert first.answer.dropped
