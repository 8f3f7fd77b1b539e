"""Mode shadow from the definition to the report: the control serves all, copies are compared, nobody is promoted."""

import json
from dataclasses import replace
from math import log

import pytest

from experiments.evidence.epochs import CALL_WINDOW_MS
from experiments.report.document import Report
from router.config.document import Document
from router.deciding.choose import Decision, RouteRequest
from router.errors import Conflict, EvidenceRefused
from router.recording.pairs import DAY_MS, pair_row, spent_today_usd
from router.steering.look import render_report
from storage.records import CallRow
from tests.router.worlds import World, document, experiment, world

GUARDS = [
    {"metric": "error", "max_increase": 0.05},
    {"metric": "cost_usd", "max_ratio": 1.2},
    {"metric": "latency_p50_ms", "max_ratio": 1.2},
]


def shadowed(**changes: object) -> Document:
    """The usual world with its experiment in mode shadow."""
    body = experiment(mode="shadow", shadow_usd_per_day=5.0, guardrails=GUARDS)
    return document(experiments={"cheaper": {**body, "objective": {}, **changes}})


def call(of: Decision, now_ms: int, cost_usd: float, latency_ms: float, error: str | None = None) -> CallRow:
    """A call row of a decision."""
    return CallRow(
        number=of.number, experiment_id=of.experiment_id, epoch=of.epoch, arm=of.arm, unit=of.unit,
        served_model=of.model, diverted=False, error=error, cost_usd=cost_usd, cost_estimated=False,
        price_version="v", input_tokens=1, output_tokens=1, latency_ms=latency_ms, first_token_ms=None,
        attempts=1, finished_at_ms=now_ms,
    )  # fmt: skip


def ask(
    of: World, times: int, cost: float = 0.4, latency: float = 0.5, fails_every: int = 0
) -> list[Decision]:
    """Requests served by the control, each with its copy at these ratios to the served answer."""
    decisions = []
    for number in range(times):
        decision = of.engine.route(RouteRequest(task="support/billing"))
        assert decision.copy_to == 1
        spread = 1 + (number % 7) / 7
        served = call(decision, of.clock(), 0.01 * spread, 800 * spread)
        of.engine.recorder.finished(served)
        copy = of.engine.copy(decision)
        failed = "timeout" if fails_every and number % fails_every == 0 else None
        jitter = 1 + (number % 5) / 50
        row = call(copy, of.clock(), 0.01 * spread * cost * jitter, 800 * spread * latency * jitter, failed)
        of.engine.recorder.finished(row)
        of.engine.recorder.feedback([pair_row(served, row, of.clock())])
        decisions += [decision, copy]
        of.clock.forward(1)
    return decisions


def looked(of: World, hours: float = 25.0) -> Report:
    """The report after the open epoch has closed and its calls have settled."""
    of.clock.forward(int(hours * 3_600_000))
    of.tick()
    of.clock.forward(CALL_WINDOW_MS + 1_000)
    of.tick()
    return Report.model_validate_json(render_report(of.store, "cheaper", of.clock()))


def test_the_control_serves_everybody_and_copies_are_decisions_of_their_own() -> None:
    """The whole promise of a shadow: traffic is left alone, and what it costs is in the ledger."""
    here = world(shadowed())
    decisions = ask(here, 50)
    here.engine.recorder.flush()
    rows = list(here.store.export("decisions"))
    served = [row for row in rows if row["reason"] == "experiment"]
    copies = [row for row in rows if row["reason"] == "shadow"]
    assert {(row["model"], row["propensity"]) for row in served} == {("dear", 1.0)}
    assert {(row["model"], row["propensity"], row["arm"]) for row in copies} == {("cheap", 0.0, 1)}
    assert len(served) == len(copies) == 50
    assert all(not each.fallbacks for each in decisions if each.reason == "shadow")
    here.close()


def test_a_candidate_that_keeps_every_bound_is_fit_and_never_promoted() -> None:
    """Fit is no promotion: no user has seen an answer, so promote is refused with the reason, forced or not."""
    here = world(shadowed())
    ask(here, 600)
    report = looked(here)
    assert report.verdict.kind == "fit", report.verdict.sentence
    (part,) = report.shadow
    assert (part.asked, part.pairs) == (600, 600)
    figures = {figure.metric: figure for figure in part.figures}
    assert figures["cost_usd"].value == pytest.approx(0.4 * 1.04 - 1, abs=0.01)
    assert figures["latency_p50_ms"].value == pytest.approx(0.5 * 1.04 - 1, abs=0.01)
    assert figures["error"].value == 0
    assert {rule.state for rule in report.rules} == {"holds"}
    assert report.health.ok, report.health
    assert "experiment in mode ab or earn" in report.verdict.would_change
    for force in (False, True):
        with pytest.raises(EvidenceRefused, match="mode shadow promotes nobody"):
            here.control.promote("cheaper", "ann", "because", "cheap", force)
    here.close()


@pytest.mark.parametrize(
    ("harm", "metric"),
    [({"fails_every": 5}, "error"), ({"cost": 2.0}, "cost_usd"), ({"latency": 2.0}, "latency_p50_ms")],
)
def test_a_candidate_that_breaks_a_bound_is_unfit_and_copied_no_more(
    harm: dict[str, float], metric: str
) -> None:
    """Harm ends the spending at once; the traffic was never at risk."""
    here = world(shadowed())
    ask(here, 600, **harm)  # type: ignore[arg-type]  # the keys are those of ask
    report = looked(here)
    assert report.verdict.kind == "unfit", report.verdict.sentence
    assert report.verdict.candidate is None
    assert "with other candidates, or with wider bounds" in report.verdict.would_change
    assert {rule.name for rule in report.rules if rule.state == "fails"} == {metric}
    decision = here.engine.route(RouteRequest(task="support/billing"))
    assert (decision.model, decision.copy_to) == ("dear", 0)
    assert here.control.experiment("cheaper").dropped == (1,)
    here.close()


def test_an_open_question_names_what_it_still_needs() -> None:
    """Keep running is an answer only with a number beside it."""
    here = world(shadowed())
    assert looked(here).verdict.kind == "not_ready"
    ask(here, 120, cost=1.15)
    report = looked(here)
    assert report.verdict.kind == "keep_running", report.verdict.sentence
    assert report.verdict.units_needed is not None
    assert report.verdict.units_needed > 10
    here.close()


def test_half_of_the_traffic_is_copied_where_half_takes_part() -> None:
    """`traffic` is the share of requests that are copied; the rest is served as ever."""
    here = world(shadowed(traffic=0.5))
    chosen = [here.engine.route(RouteRequest(task="support/billing")) for _ in range(400)]
    copied = sum(each.copy_to == 1 for each in chosen)
    assert 150 < copied < 250
    assert {each.model for each in chosen} == {"dear"}
    here.close()


def test_several_candidates_share_the_copies() -> None:
    """One request is copied once: costs do not multiply with the number of candidates."""
    here = world(shadowed(candidates=["dear", "cheap", "spare"]))
    arms = [here.engine.route(RouteRequest(task="support/billing")).copy_to for _ in range(400)]
    assert set(arms) == {1, 2}
    assert 140 < arms.count(1) < 260
    here.close()


def test_what_is_spent_is_counted_by_day() -> None:
    """The cap is per day: a new day begins a new epoch, and with it a new sum."""
    here = world(shadowed())
    ask(here, 200)
    here.engine.recorder.flush()
    experiment_id = here.control.experiment("cheaper").id
    spent = spent_today_usd(here.store, experiment_id, here.clock())
    copies = [row for row in here.store.export("calls") if row["arm"] == 1]
    assert spent == pytest.approx(sum(float(str(row["cost_usd"])) for row in copies))
    assert spent > 0
    here.clock.forward(DAY_MS - here.clock() % DAY_MS + 1_000)
    here.tick()
    assert spent_today_usd(here.store, experiment_id, here.clock()) == 0
    ask(here, 10)
    here.engine.recorder.flush()
    assert 0 < spent_today_usd(here.store, experiment_id, here.clock()) < spent
    here.close()


def test_a_control_that_does_not_serve_cannot_be_shadowed() -> None:
    """Mode shadow changes nothing for users, so its control must be who serves them anyway."""
    here = world(shadowed(candidates=["cheap", "dear"]), started=False)
    with pytest.raises(Conflict, match="make the champion the control"):
        here.control.start("cheaper", "ann")
    here.close()


def test_a_candidate_without_a_price_is_not_started() -> None:
    """A cap in dollars means nothing where nobody knows what a call costs."""
    raw = json.loads(shadowed().model_dump_json(by_alias=True, exclude_none=True))
    raw["models"]["cheap"] = {"base_url": "http://127.0.0.1:9/v1", "provider": "nobody"}
    here = world(Document.model_validate(raw), started=False)
    with pytest.raises(Conflict, match=r"give models\.cheap\.price"):
        here.control.start("cheaper", "ann")
    here.close()


def test_a_failed_answer_is_compared_as_a_failure_only() -> None:
    """A refusal that took a millisecond is no fast answer, and what a fallback answered is not the model's."""
    here = world(shadowed())
    decision = here.engine.route(RouteRequest(task="support/billing"))
    copy = here.engine.copy(decision)
    served, copied = call(decision, 0, 0.01, 100.0), call(copy, 0, 0.02, 200.0)
    assert dict(pair_row(served, copied, 5).values) == {
        "pair_error": 0.0, "pair_latency_ln": pytest.approx(log(2)), "pair_cost_usd": 0.01,
    }  # fmt: skip
    assert pair_row(served, replace(copied, error="timeout"), 5).values == (("pair_error", 1.0),)
    assert pair_row(replace(served, diverted=True), copied, 5).values == (("pair_error", -1.0),)
    unknown = pair_row(replace(served, cost_usd=None), copied, 5).values
    assert [name for name, _ in unknown] == ["pair_error", "pair_latency_ln"]
    here.close()
