"""Feedback that a request belongs to another task, from the reply to the report."""

import pytest
from statsmodels.stats.proportion import proportion_confint

from dashboards.report_page import render_html
from dashboards.report_text import render_text
from experiments.definition.reward import Reward
from experiments.report.misrouted import wilson
from router.deciding.choose import RouteRequest
from router.recording.feedback import FeedbackItem
from tests.router.worlds import World

BILLING = RouteRequest(task="support/billing")
SENTENCE = "25.0% of 40 judged requests belong to another task"


def reported(world: World) -> dict[str, object]:
    """The experiment's report, looked at now."""
    from router.in_process import Router

    with Router(world.store, tick="manual", clock=world.clock) as router:
        return router.report("cheaper")


def test_misrouted_requests_show_in_the_report_of_their_tasks_experiment(small_world: World) -> None:
    """A classifier that mixes tasks up makes their experiments compare the wrong thing; it must be seen there."""
    for number in range(40):
        decision = small_world.engine.route(BILLING)
        reply = small_world.give(decision.id, value=1.0, misrouted=number % 4 == 0)
        assert reply.state == "applied"
    for _ in range(20):
        small_world.give(small_world.engine.route(BILLING).id, value=0.0)
    small_world.tick()
    report = reported(small_world)
    found = report["misrouted"]
    assert isinstance(found, dict)
    assert (found["judged"], found["misrouted"], found["share"]) == (40, 10, 0.25)
    assert str(found["sentence"]).startswith(SENTENCE)
    assert SENTENCE in " ".join(render_text(report).split())
    assert SENTENCE in render_html(report)


def test_a_changed_judgement_counts_once_and_silence_says_nothing(small_world: World) -> None:
    """The later judgement counts, as for every metric."""
    decision = small_world.engine.route(BILLING)
    small_world.give(decision.id, misrouted=True)
    small_world.clock.forward(10)
    assert small_world.give(decision.id, misrouted=False).state == "superseded"
    small_world.tick()
    found = reported(small_world)["misrouted"]
    assert isinstance(found, dict)
    assert (found["judged"], found["misrouted"]) == (1, 0)


def test_without_a_judgement_the_report_says_nothing_of_it(small_world: World) -> None:
    """Not judged is not 0% misrouted."""
    small_world.give(small_world.engine.route(BILLING).id, value=1.0)
    small_world.tick()
    report = reported(small_world)
    assert report["misrouted"] is None
    assert "another task" not in render_text(report)


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (10, 40), (3, 1_000), (999, 1_000)])
def test_the_interval_is_wilsons(count: int, of: int) -> None:
    """Known answers of statsmodels."""
    assert wilson(count, of) == pytest.approx(proportion_confint(count, of, method="wilson"), abs=1e-12)


def test_the_name_is_taken() -> None:
    """A reward or a metric called so would be shown as something else."""
    with pytest.raises(ValueError, match="has its own field"):
        FeedbackItem.model_validate({"decision_id": "x", "metric": "misrouted", "value": 1.0})
    with pytest.raises(ValueError, match="measured by Pointsman itself"):
        Reward(metric="misrouted")
