"""How many second attempts there may be, and after what time: purse and recent times, without any server."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.applying.file import parse_config
from router.availability.health import Health
from router.availability.hedging import ENOUGH, NEWEST, HedgePurse, RecentTimes
from router.availability.terms import terms_of
from router.config.availability import MOST_HEDGED, Hedge, Usual
from router.config.document import Document
from tests.router.worlds import document

ONE_PLACE = """\
models: {big: {base_url: "http://127.0.0.1:9/v1"}, small: {base_url: "http://127.0.0.1:9/v1"}}
default: big
"""
TWO_PLACES = """\
models: {big: {deployments: [{base_url: "http://127.0.0.1:9/v1"}, {base_url: "http://127.0.0.1:8/v1"}]}}
default: big
"""


@given(share=st.floats(0.001, MOST_HEDGED), wanted=st.lists(st.booleans(), max_size=400))
def test_hedges_are_never_more_than_one_and_their_share_of_the_requests(
    share: float, wanted: list[bool]
) -> None:
    """Whatever the requests are like, an upstream that slows down gets no flood on top."""
    purse, hedged = HedgePurse(), 0
    for requests, wants in enumerate(wanted, 1):
        purse.earn(share)
        hedged += wants and purse.spend()
        assert hedged <= 1 + share * requests + 1e-6


def test_a_slow_upstream_gets_all_hedges_that_the_share_allows() -> None:
    """A twentieth of 2,000 requests are a hundred, and one is there from the start."""
    purse, hedged = HedgePurse(), 0
    for _ in range(2_000):
        purse.earn(0.05)
        hedged += purse.spend()
    assert hedged == 101


@pytest.mark.parametrize(("usual", "quantile"), [("p90", 0.90), ("p95", 0.95), ("p99", 0.99)])
def test_the_time_is_the_quantile_of_the_newest_answers(usual: Usual, quantile: float) -> None:
    """As numpy's nearest rank from above has it; older answers are forgotten."""
    times = RecentTimes()
    drawn = np.random.default_rng(8).exponential(size=3 * NEWEST)
    for took_s in drawn:
        times.add(float(took_s))
    expected = np.quantile(drawn[-NEWEST:], quantile, method="inverted_cdf")
    assert times.within_s(usual) == pytest.approx(expected)


def test_too_few_answers_tell_no_time() -> None:
    """Five answers have no 95th percentile worth acting on."""
    health = Health()
    assert health.within_s("p95", streamed=True) is None
    for count in range(ENOUGH):
        assert (health.within_s("p95", streamed=True) is None) is (count < ENOUGH)
        health.answered(0.0, 1.0, streamed=True)
    assert health.within_s("p95", streamed=True) == 1.0
    assert health.within_s("p95", streamed=False) is None


@pytest.mark.parametrize(("usual", "share"), [("p90", 0.10), ("p95", 0.05)])
def test_cutting_the_slowest_answers_hardly_shortens_the_time_after_which_they_are_cut(
    usual: Usual, share: float
) -> None:
    """A hedge after p90 that forgot whom it cut would see ever faster answers, and hedge two in ten."""
    rng, health = np.random.default_rng(5), Health()
    health.within_s(usual, streamed=False)
    hedged = []
    for took_s, second_s in rng.exponential(size=(20_000, 2)):
        limit_s = health.within_s(usual, streamed=False)
        hedged.append(limit_s is not None and took_s > limit_s)
        if limit_s is not None and took_s > limit_s + second_s:
            health.outrun(limit_s + second_s, streamed=False)
        else:
            health.answered(0.0, took_s, streamed=False)
    assert share * 0.8 < np.mean(hedged[-10_000:]) < share * 1.3


def test_a_cut_attempt_never_makes_a_site_look_faster() -> None:
    """It would have taken longer than it was given; less than the average of late says nothing."""
    health = Health()
    health.answered(0.0, 2.0, streamed=False)
    health.outrun(1.0, streamed=False)
    assert health.speed_s[False] == 2.0
    health.outrun(7.0, streamed=False)
    assert health.speed_s[False] == pytest.approx(3.0)


def test_a_task_hedges_as_its_nearest_parent_says() -> None:
    """As all that a task states of availability."""
    stated = {"default": "dear", "hedge": {"after_s": 2.0}}
    tasks = {
        "support": stated,
        "support/billing": {},
        "support/own": {"hedge": {"after": "p95"}},
        "other": {},
    }
    configured: Document = document(tasks=tasks)
    assert terms_of("support/billing", configured).hedge == Hedge(after_s=2.0)
    assert terms_of("support/own", configured).hedge == Hedge(after="p95")
    assert terms_of("other", configured).hedge is None


@pytest.mark.parametrize(
    ("text", "hedge", "said"),
    [(ONE_PLACE, "{after_s: 1}", ["no model has a second deployment"]), (TWO_PLACES, "{after: p95}", []),
     (ONE_PLACE, "{after_s: 1, to: fallback}", ["the task has no fallbacks"]),
     (ONE_PLACE + "fallbacks: [small]\n", "{after_s: 1, to: fallback}", [])],
)  # fmt: skip
def test_a_hedge_that_leads_nowhere_is_told(text: str, hedge: str, said: list[str]) -> None:
    """It is sound, and would do nothing: whoever states it should hear so."""
    warnings = parse_config(f"{text}tasks:\n  a: {{hedge: {hedge}}}\n").warnings
    found = [warning.message for warning in warnings if warning.field == "tasks.a.hedge"]
    assert [message.partition(",")[0] for message in found] == said


@pytest.mark.parametrize(
    "stated", [{}, {"to": "fallback"}, {"after_s": 0.0}, {"after": "p50"}, {"after_s": 1.0, "share": 0.21},
               {"after_s": 1.0, "share": 0.0}, {"after_s": 1.0, "to": "everybody"}]
)  # fmt: skip
def test_a_hedge_that_means_nothing_or_too_much_is_refused(stated: dict[str, object]) -> None:
    """Without a time it would never begin, at once it would double the load."""
    with pytest.raises(ValueError, match=r"hedge|Input|share"):
        Hedge.model_validate(stated)
