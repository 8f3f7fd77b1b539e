"""Counters of all workers and their text."""

import tempfile

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.serving.metrics import BOUNDS_S, Counters, page_bytes, render
from experiments.definition.experiment import Experiment
from experiments.definition.lifecycle import ExperimentState
from storage.records import ExperimentRow, FeedbackState, TrafficCount

DEFINITION = Experiment(name="cheaper", task="support", candidates=("big", "small"))
ROW = ExperimentRow(7, "cheaper", DEFINITION, ExperimentState.RUNNING, 1, "salt", 0)


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_kept_answers_coming_is_counted_over_all_workers() -> None:
    """A night of retries and pauses must show on the operator's board."""
    with tempfile.TemporaryFile() as page:
        page.truncate(page_bytes(2))
        workers = [Counters(page.fileno(), slot, 2) for slot in range(2)]
        for worker in workers:
            worker.happened({"retries": 3, "pauses": 1})
            worker.publish()
        shown = samples(render(workers[0].totals(), [], ()))
    assert shown["pointsman_availability_total", "retries"] == 6
    assert shown["pointsman_availability_total", "pauses"] == 2
    assert shown["pointsman_availability_total", "shed"] == 0


def test_how_policies_came_to_their_choices_is_counted_over_all_workers() -> None:
    """A policy whose server is silent serves by `otherwise`, and must show as that."""
    with tempfile.TemporaryFile() as page:
        page.truncate(page_bytes(2))
        workers = [Counters(page.fileno(), slot, 2) for slot in range(2)]
        for worker in workers:
            worker.policies_chose({"answer": 3, "otherwise": 1})
            worker.add("policy_unusable", 2)
            worker.publish()
        shown = samples(render(workers[0].totals(), [], ()))
    choices = {
        by: shown["pointsman_policy_choices_total", by] for by in ("rule", "answer", "otherwise", "able")
    }
    assert choices == {"rule": 0, "answer": 6, "otherwise": 2, "able": 0}
    assert shown["pointsman_policy_unusable_total",] == 4


def test_any_worker_shows_the_sums_of_all() -> None:
    """A scrape reaches one worker by chance; two scrapes must not contradict each other."""
    with tempfile.TemporaryFile() as page:
        page.truncate(page_bytes(2))
        first, second = Counters(page.fileno(), 0, 2), Counters(page.fileno(), 1, 2)
        first.answered("route", 200, 0.002)
        second.answered("route", 200, 0.002)
        second.answered("chat", 502, 1.2)
        second.feedback(FeedbackState.APPLIED)
        first.set("connections", 3)
        second.set("connections", 4)
        second.publish()
        shown = samples(render(first.totals(), [], ()))
    assert shown["pointsman_requests_total", "2xx", "route"] == 2
    assert shown["pointsman_requests_total", "5xx", "chat"] == 1
    assert shown["pointsman_feedback_total", "applied"] == 1
    assert shown["pointsman_connections",] == 7


def test_a_restarted_worker_goes_on_counting() -> None:
    """A counter that steps back reads as traffic that never was."""
    with tempfile.TemporaryFile() as page:
        page.truncate(page_bytes(1))
        before = Counters(page.fileno())
        before.answered("route", 200, 0.1)
        before.set("connections", 9)
        before.publish()
        after = Counters(page.fileno())
        after.answered("route", 200, 0.1)
        shown = samples(render(after.totals(), [], ()))
    assert shown["pointsman_requests_total", "2xx", "route"] == 2
    assert shown["pointsman_connections",] == 0


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (99.0, "+Inf")]
)
def test_the_histogram_counts_each_answer_from_its_bound_on(seconds: float, bound: str) -> None:
    """Quantiles computed from it are only as right as its sides: a bound includes its own value."""
    counters = Counters()
    counters.answered("chat", 200, seconds)
    shown = samples(render(counters.totals(), [], ()))
    edges = [*(f"{edge:g}" for edge in BOUNDS_S), "+Inf"]
    counts = [shown[("pointsman_request_seconds_bucket", *sorted((edge, "chat")))] for edge in edges]
    below = edges.index(bound)
    assert counts == [0.0] * below + [1.0] * (len(edges) - below)
    assert shown["pointsman_request_seconds_count", "chat"] == 1
    assert shown["pointsman_request_seconds_sum", "chat"] == pytest.approx(seconds, abs=1e-6)


def test_the_ledger_is_shown_by_name() -> None:
    """An experiment's number means nothing to whoever builds the dashboard."""
    traffic = [TrafficCount("support", 7, "experiment", 40), TrafficCount("default", 0, "unrouted", 2)]
    shown = samples(render(Counters().totals(), traffic, (ROW,)))
    assert shown[("pointsman_decisions_total", *sorted(("support", "cheaper", "experiment")))] == 40
    assert shown[("pointsman_decisions_total", *sorted(("default", "", "unrouted")))] == 2
    assert shown["pointsman_experiments", "running"] == 1
    assert shown["pointsman_experiments", "draft"] == 0
