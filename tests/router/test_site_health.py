"""Health of sites: when one is left alone, how it comes back, and which one of several is asked."""

from collections import Counter
from itertools import count, cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.availability.balancing import Stand, picked
from router.availability.health import Health
from router.availability.retrying import SAVED, RetryPurse, wait_s
from router.availability.sites import served
from router.config.availability import Balance, Cooldown
from router.config.model import Model

RULE = Cooldown(failures=3, first_s=4.0, longest_s=60.0)
PLACES = [{"region": "eu", "weight": 3.0, "price": {"input": 5.0, "output": 5.0}}, {"region": "us"}]
MODEL = Model.model_validate(
    {"base_url": "http://a/v1", "price": {"input": 1.0, "output": 1.0}, "deployments": PLACES}
)


def stands() -> list[Stand]:
    """Two healthy sites, the first with three quarters of the weight and the higher price."""
    return [Stand(site, Health()) for site in served("big", MODEL).sites]


def fail(health: Health, times: int, now_s: float = 0.0) -> list[bool]:
    """Failures in a row, and which of them began a pause."""
    return [health.failed(now_s, RULE, lambda: 0.0) for _ in range(times)]


def test_failures_in_a_row_begin_a_pause_and_a_success_between_them_does_not() -> None:
    """One hiccup is no outage; the third in a row is taken for one."""
    health = Health()
    assert fail(health, 2) == [False, False]
    health.answered(0.0, 1.0, streamed=False)
    assert fail(health, 3) == [False, False, True]
    assert not health.open(3.9)
    assert health.open(4.0)


def test_half_of_many_attempts_failing_begins_a_pause_as_well() -> None:
    """An upstream that answers every second request never fails three times in a row, and is down all the same."""
    health, began = Health(), []
    for _ in range(10):
        health.answered(1.0, 1.0, streamed=False)
        began.append(health.failed(1.0, RULE, lambda: 0.0))
    assert began == [False] * 9 + [True]


def test_after_the_pause_one_request_probes_and_the_others_wait_for_its_answer() -> None:
    """Half-open: a recovering upstream must not be hit by everything that waited for it."""
    health = Health()
    fail(health, 3)
    probe, other = object(), object()
    assert health.open(5.0)
    health.begin(probe)
    assert not health.open(5.0)
    health.begin(other)  # begun before the pause, ending now
    health.end(other)
    assert not health.open(5.0)
    health.answered(5.5, 0.5, streamed=False)
    health.end(probe)
    assert health.open(5.5)
    assert health.in_flight == 0


def test_a_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    """Known answer: 4, 8, 16, 32, 60, 60 seconds without jitter; up to a quarter less with it."""
    health, now_s, pauses = Health(), 0.0, []
    fail(health, 2)
    for _ in range(6):
        assert health.failed(now_s, RULE, lambda: 0.0)
        pauses.append(health.resting_until_s - now_s)
        now_s = health.resting_until_s
    assert pauses == [4, 8, 16, 32, 60, 60]
    jittered = Health()
    for _ in range(3):
        jittered.failed(0.0, RULE, lambda: 0.999)
    assert 3.0 < jittered.resting_until_s < 3.01


def test_a_probe_whose_client_left_leaves_the_door_open_for_the_next() -> None:
    """Otherwise a site would never be probed again."""
    health, probe = Health(), object()
    fail(health, 3)
    health.begin(probe)
    health.end(probe)
    assert health.open(5.0)


def test_an_upstream_that_names_a_time_is_left_alone_for_it_at_once() -> None:
    """Status 429 with retry-after needs no further failures to be believed."""
    health = Health()
    assert health.failed(0.0, RULE, lambda: 0.0, retry_after_s=30)
    assert not health.open(29.9)
    assert health.open(30.0)


@pytest.mark.parametrize(
    ("balance", "expected"),
    [("weighted", {"big#eu": 300, "big#us": 100}), ("round_robin", {"big#eu": 300, "big#us": 100}),
     ("cheapest", {"big#us": 400})],
)  # fmt: skip
def test_requests_are_divided_as_the_balance_says(balance: Balance, expected: dict[str, int]) -> None:
    """Known answers over 400 requests; a weighted draw from an even grid is exact."""
    grid = (index / 400 for index in range(400))
    draws = cycle(grid)
    got = Counter(picked(stands(), balance, turn, False, lambda: next(draws)).site.id for turn in range(400))
    assert {name: pytest.approx(count, abs=2) for name, count in got.items()} == expected


def test_the_least_busy_site_is_the_one_with_most_room_for_its_weight() -> None:
    """Three times the weight carries three times the requests."""
    both = stands()
    for turn in range(40):
        picked(both, "least_busy", turn, False, lambda: 0.5).health.begin(object())
    assert [stand.health.in_flight for stand in both] == [30, 10]


def test_the_fastest_site_gets_most_and_one_that_became_faster_is_found() -> None:
    """Without exploration a site that was slow once would be slow for ever."""
    both = stands()
    numbers = count()
    draws = lambda: (next(numbers) * 0.6180339887) % 1.0  # noqa: E731  # a sequence that fills [0, 1) evenly
    speeds = {"big#eu": 0.2, "big#us": 2.0}
    seen: list[Counter[str]] = []
    for phase in ({}, {"big#us": 0.02}):
        speeds |= phase
        got: Counter[str] = Counter()
        for turn in range(1_000):
            stand = picked(both, "lowest_latency", turn, True, draws)
            stand.health.answered(float(turn), speeds[stand.site.id], streamed=True)
            got[stand.site.id] += 1
        seen.append(got)
    assert seen[0]["big#eu"] > 900
    assert seen[0]["big#us"] > 5
    assert seen[1]["big#us"] > 600


@given(st.integers(0, 400))
def test_retries_never_exceed_their_share_of_the_requests(requests: int) -> None:
    """An upstream that fails always is asked a fifth more, and the few that were saved up; not a multiple."""
    purse, retries = RetryPurse(), 0
    for _ in range(requests):
        purse.earn()
        while purse.spend():
            retries += 1
    assert retries <= SAVED + 0.2 * requests


def test_waits_are_drawn_from_a_span_that_doubles() -> None:
    """Full jitter: anything from nothing to 0.25, 0.5, 1, 2, 4, 4 seconds."""
    assert [wait_s(tries, None, 10, lambda: 1.0) for tries in range(6)] == [0.25, 0.5, 1, 2, 4, 4]
    assert wait_s(5, None, 10, lambda: 0.0) == 0.0
