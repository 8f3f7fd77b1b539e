"""Pauses: time without traffic counts toward no duration and dilutes no pace."""

import json

import pytest

from experiments.verdict.tick import Tick
from experiments.verdict.verdict import Kind
from router.config.document import Document
from router.deciding.choose import RouteRequest
from router.steering.forecast import forecast
from router.steering.look import CellCache, look, render_report
from tests.router.worlds import World, document, experiment, world

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BILLING = RouteRequest(task="support/billing")


def answered(made: World, units: int) -> None:
    """So many rated and metered requests, four fifths of them successes."""
    for index in range(units):
        decision = made.engine.route(BILLING)
        made.give(
            decision.id, value=float(index % 5 > 0), cost_usd=0.01 if decision.candidate == "dear" else 0.001
        )


def seen(made: World) -> Tick:
    """The look that the planner would take now."""
    made.engine.recorder.flush()
    row = made.control.experiment("cheaper")
    config = made.store.state().config
    assert config is not None
    return look(made.store, row, Document.model_validate_json(config.body), made.clock(), CellCache())[1]


def test_a_pause_is_no_part_of_the_running_time_nor_of_the_pace() -> None:
    """Two hours of traffic around ten days of silence are two hours."""
    made = world(document(experiments={"cheaper": experiment(decision={"min_days": 1})}))
    answered(made, 150)
    made.clock.forward(HOUR_MS)
    made.tick()
    made.control.pause("cheaper", "ann")
    made.clock.forward(10 * DAY_MS)
    paused = seen(made).volume
    assert paused.running_ms == HOUR_MS
    made.control.start("cheaper", "ann")
    made.engine.refresh()
    answered(made, 150)
    made.clock.forward(HOUR_MS)
    volume = seen(made).volume
    assert volume.running_ms == 2 * HOUR_MS
    assert volume.units_per_day == pytest.approx(300 * 12)
    assert json.loads(render_report(made.store, "cheaper", made.clock()))["units_per_day"] == pytest.approx(
        3_600
    )
    assert forecast(made.store, "cheaper", None, made.clock()).units_per_day == pytest.approx(3_600)
    made.close()


def test_the_minimum_duration_waits_for_days_with_traffic() -> None:
    """A weekly rhythm is not seen during a pause: twelve hours of two days are still twelve hours after it."""
    wide = experiment(decision={"min_days": 2}, objective={"reward_margin": 0.2})
    made = world(document(experiments={"cheaper": wide}))
    for _ in range(12):
        answered(made, 200)
        made.clock.forward(HOUR_MS)
        made.tick()
    before = seen(made).verdict
    made.control.pause("cheaper", "ann")
    made.clock.forward(3 * DAY_MS)
    made.control.start("cheaper", "ann")
    made.engine.refresh()
    after = seen(made).verdict
    for verdict in (before, after):
        assert (verdict.kind, verdict.candidate) == (Kind.NOT_READY, "cheap")
        assert verdict.days_needed == pytest.approx(1.5)
    made.close()
