"""Mode shadow for callers who call models themselves: what is offered, for which money, and what a pair says."""

import asyncio
from math import log

import pytest

from experiments.report.document import Report
from router.deciding.choose import Decision, RouteRequest
from router.engine import Engine
from router.recording.offers import TRUST_MS
from router.steering.look import render_report
from storage.errors import StoreUnavailable
from tests.router.test_shadow_mode import looked, shadowed
from tests.router.worlds import SIGNER, World, document, world

ASKED = RouteRequest(task="support/billing")
LISTED_USD = 1_000 * 2.0 / 1e6
"""By the price list: `cheap` with an answer of a thousand tokens, to a request of unknown length."""


def offer(of: World, request: RouteRequest = ASKED) -> Decision:
    """A decision for a caller who calls models itself."""
    return of.engine.route(request, offering=True)


def report(
    of: World, decision: Decision, cost: float = 0.4, latency: float = 0.5, fails: bool = False
) -> None:
    """Both calls as their caller reports them, the copy first."""
    assert decision.copy is not None
    spread = 1 + (decision.number % 7) / 7
    if fails:
        of.give(decision.copy.id, error="timeout")
    else:
        of.give(decision.copy.id, cost_usd=0.001 * spread * cost, latency_ms=800 * spread * latency)
    of.give(decision.id, cost_usd=0.001 * spread, latency_ms=800 * spread)


def test_a_callers_request_carries_the_copy_it_may_make() -> None:
    """The copy has a decision of its own in the ledger, and the two ids name each other."""
    here = world(shadowed())
    decision = offer(here)
    copy = decision.copy
    assert (decision.model, decision.propensity) == ("dear", 1.0)
    assert copy is not None
    assert (copy.model, copy.candidate) == ("cheap", "cheap")
    served_id, copy_id = SIGNER.verify(decision.id), SIGNER.verify(copy.id)
    assert served_id is not None
    assert copy_id is not None
    assert (served_id.arm, copy_id.arm, copy_id.epoch) == (0, 1, served_id.epoch)
    here.engine.recorder.flush()
    rows = {row["number"]: row for row in here.store.export("decisions")}
    assert (rows[copy_id.number]["reason"], rows[copy_id.number]["propensity"]) == ("shadow", 0.0)
    assert rows[served_id.number]["reason"] == "experiment"
    here.close()


def test_nobody_else_is_offered_a_copy() -> None:
    """The gateway makes copies itself; other modes, other tasks and pinned models have none."""
    here = world(shadowed())
    assert here.engine.route(ASKED).copy is None
    assert offer(here, RouteRequest(task="support")).copy is None
    assert offer(here, RouteRequest(task="support/billing", override="dear")).copy is None
    here.close()
    plain = world(document())
    assert offer(plain).copy is None
    plain.close()


def test_an_event_loop_is_offered_the_same() -> None:
    """The decision API asks the ledger for the day's money beside its loop."""
    here = world(shadowed())
    decision = asyncio.run(here.engine.route_async(ASKED, offering=True))
    assert decision.copy is not None
    here.close()


def test_traffic_is_the_share_of_requests_with_an_offer() -> None:
    """The rest is served as ever."""
    here = world(shadowed(traffic=0.5))
    offered = sum(offer(here).copy is not None for _ in range(400))
    assert 150 < offered < 250
    here.close()


def test_pairs_of_callers_lead_to_the_same_verdict_as_the_gateways() -> None:
    """One report, whoever makes the copies."""
    here = world(shadowed())
    for _ in range(600):
        report(here, offer(here))
        here.clock.forward(1)
    found = looked(here)
    assert found.verdict.kind == "fit", found.verdict.sentence
    (part,) = found.shadow
    assert (part.asked, part.pairs, part.lost) == (600, 600, 0)
    figures = {figure.metric: figure for figure in part.figures}
    assert figures["cost_usd"].value == pytest.approx(0.4 - 1)
    assert figures["latency_p50_ms"].value == pytest.approx(0.5 - 1)
    assert figures["error"].value == 0
    here.close()


@pytest.mark.parametrize(
    ("rule", "shift", "verdict", "words"),
    [
        ({"max_decrease": 0.5}, 0.0, "fit", "(bound -0.5)"),
        ({"max_decrease": 0.5}, -1.5, "unfit", "quality -1.5, at most -"),
        ({"max_increase": 0.5}, -1.5, "fit", "quality -1.5, at most -"),
        ({"max_increase": 0.5}, 1.5, "unfit", "quality +1.5, at least +"),
    ],
)
def test_a_judge_that_sees_both_answers_decides_by_their_difference(
    rule: dict[str, float], shift: float, verdict: str, words: str
) -> None:
    """Easy and hard questions move both judgements of a pair; what is left is the models'."""
    rules = [{"metric": "quality", "range": [0, 10], **rule}]
    here = world(shadowed(guardrails=rules))
    for number in range(400):
        decision = offer(here)
        assert decision.copy is not None
        report(here, decision)
        seen = 3.0 + number % 5
        here.give(decision.id, metric="quality", value=seen)
        here.give(decision.copy.id, metric="quality", value=seen + shift + (number % 3 - 1) / 10)
        here.clock.forward(1)
    found = looked(here)
    assert found.verdict.kind == verdict, found.verdict.sentence
    (rule_part,) = [each for each in found.rules if each.name == "quality"]
    assert words in rule_part.sentence
    (figure,) = [each for each in found.shadow[0].figures if each.metric == "quality"]
    assert (figure.pairs, figure.relative) == (400, False)
    assert figure.value == pytest.approx(shift, abs=0.01)
    assert figure.bound == (-0.5 if "max_decrease" in rule else 0.5)
    here.close()


def test_judgements_are_read_when_their_window_is_over() -> None:
    """A judge may look at bad answers first: half of the judgements would speak for all."""
    rules = [{"metric": "quality", "max_decrease": 0.5, "range": [0, 10]}]
    here = world(shadowed(guardrails=rules, reward={"window": "2h"}))
    for _ in range(200):
        decision = offer(here)
        assert decision.copy is not None
        report(here, decision)
        here.give(decision.id, metric="quality", value=9)
        here.give(decision.copy.id, metric="quality", value=2)
        here.clock.forward(1)
    (early,) = looked(here, hours=25).shadow[0].figures[3:]
    assert (early.pairs, early.state) == (0, "open")
    here.clock.forward(3 * 3_600_000)
    here.tick()
    assert here.control.experiment("cheaper").dropped == (1,)
    here.close()


def test_copies_that_fail_make_a_candidate_unfit_and_end_the_offers() -> None:
    """A failure is reported as `error`; it needs neither cost nor latency."""
    here = world(shadowed())
    for number in range(600):
        report(here, offer(here), fails=number % 5 == 0)
        here.clock.forward(1)
    found = looked(here)
    assert found.verdict.kind == "unfit", found.verdict.sentence
    assert {rule.name for rule in found.rules if rule.state == "fails"} == {"error"}
    assert offer(here).copy is None
    here.close()


def test_sides_that_never_report_are_counted_and_are_no_zeros() -> None:
    """A caller may ignore an offer, or report one side alone: neither an error nor a free call follows."""
    here = world(shadowed())
    for number in range(300):
        decision = offer(here)
        assert decision.copy is not None
        if number % 3 == 0:
            report(here, decision)
        elif number % 3 == 1:
            here.give(decision.id, cost_usd=0.001, latency_ms=800.0)
        here.clock.forward(1)
    here.tick()
    now = Report.model_validate_json(render_report(here.store, "cheaper", here.clock()))
    assert [(part.pairs, part.lost, part.waiting) for part in now.shadow] == [(0, 0, 200)]
    found = looked(here)
    (part,) = found.shadow
    assert any("200 copies for cheap have no pair" in warning for warning in found.health.warnings)
    assert (part.asked, part.pairs, part.lost, part.waiting) == (100, 100, 200, 0)
    figures = {figure.metric: figure for figure in part.figures}
    assert (figures["error"].value, figures["error"].pairs) == (0, 100)
    assert figures["cost_usd"].value == pytest.approx(0.4 - 1)
    here.close()


def test_offers_end_where_the_days_money_would() -> None:
    """Copies that nobody has reported yet are expected to cost what the price list says of them."""
    here = world(shadowed(shadow_usd_per_day=10 * LISTED_USD))
    assert sum(offer(here).copy is not None for _ in range(40)) == 10
    here.close()


def test_reports_that_cost_less_make_room_and_others_do_not() -> None:
    """The ledger's word of all processes counts, at most two seconds old."""
    here = world(shadowed(shadow_usd_per_day=10 * LISTED_USD))
    decisions = [offer(here) for _ in range(10)]
    for decision in decisions[:5]:
        assert decision.copy is not None
        here.give(decision.copy.id, cost_usd=LISTED_USD / 2)
    here.engine.recorder.flush()
    here.clock.forward(TRUST_MS + 1_000)
    assert sum(offer(here).copy is not None for _ in range(10)) == 2, "10 - 5 / 2 - 5 leaves 2.5"
    here.close()


def test_what_turns_out_dearer_than_the_list_is_expected_again() -> None:
    """Long answers make copies dearer than the list says of a usual one; the cap learns it from reports."""
    here = world(shadowed(shadow_usd_per_day=10 * LISTED_USD))
    first = offer(here)
    assert first.copy is not None
    here.give(first.copy.id, cost_usd=3 * LISTED_USD)
    here.engine.recorder.flush()
    here.clock.forward(TRUST_MS + 1_000)
    assert sum(offer(here).copy is not None for _ in range(10)) == 2
    here.close()


def test_other_processes_offers_count() -> None:
    """The cap is one for all workers and nodes of a ledger, also for what they offered and nobody reported."""
    here = world(shadowed(shadow_usd_per_day=10 * LISTED_USD))
    assert sum(offer(here).copy is not None for _ in range(6)) == 6
    here.engine.recorder.flush()
    other = World(
        here.store,
        here.clock,
        Engine(here.store, SIGNER, 1, here.clock, follow=False),
        here.control,
        here.planner,
    )
    assert sum(offer(other).copy is not None for _ in range(40)) == 4
    other.engine.close()
    here.close()


def test_a_new_day_brings_new_money() -> None:
    """As for the gateway's copies: the planner opens a new epoch at midnight."""
    here = world(shadowed(shadow_usd_per_day=3 * LISTED_USD))
    assert sum(offer(here).copy is not None for _ in range(9)) == 3
    here.engine.recorder.flush()
    here.clock.forward(86_400_000 - here.clock() % 86_400_000 + 1_000)
    here.tick()
    here.clock.forward(120_000)
    assert sum(offer(here).copy is not None for _ in range(9)) == 3
    here.close()


def test_without_the_ledger_nothing_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions go on; money is not spent on a guess."""
    here = world(shadowed())

    def down(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(here.store, "epochs", down)
    decision = offer(here)
    assert (decision.model, decision.copy) == ("dear", None)
    here.close()


def test_tokens_are_priced_as_the_candidate_that_made_the_copy() -> None:
    """The caller need not know prices; a copy's tokens are the candidate's."""
    here = world(shadowed())
    decision = offer(here)
    assert decision.copy is not None
    here.give(decision.copy.id, input_tokens=1_000_000, output_tokens=0, latency_ms=2.0)
    here.give(decision.id, input_tokens=1_000_000, output_tokens=0, latency_ms=1.0)
    cells = {cell.arm: cell.moments for cell in here.store.cells(here.control.experiment("cheaper").id)}
    pair = cells[1]
    assert (pair["pair_cost_usd"][2], pair["pair_cost_usd"][3]) == (10.0, 1.0)
    assert pair["pair_latency_ln"][2] == pytest.approx(log(2))
    here.close()
