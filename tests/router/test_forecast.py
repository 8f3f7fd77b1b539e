"""The forecast of a stored experiment: as a draft, while it runs, and what it refuses."""

import numpy as np
import pytest

from router.deciding.choose import RouteRequest
from router.errors import InvalidRequest, NotFound
from router.steering.forecast import forecast
from tests.router.worlds import World, world


def serve(made: World, units: int, minutes_each: float) -> None:
    """Answered units at a rate of .9, a tick every 50."""
    generator = np.random.default_rng(1)
    for number in range(units):
        made.clock.forward(int(minutes_each * 60_000))
        decision = made.engine.route(RouteRequest(task="support/billing"))
        made.give(decision.id, value=float(generator.random() < 0.9), cost_usd=1e-3)
        if number % 50 == 49:
            made.tick()
    made.clock.forward(4_000)
    made.tick()


def test_a_draft_is_forecast_from_its_definition_and_the_price_list() -> None:
    """The question is asked before the start."""
    made = world(started=False)
    try:
        plan = forecast(made.store, "cheaper", None, made.clock())
        assert plan.answer == "traffic_unknown"
        assert plan.detectable_now is None
        assert forecast(made.store, "cheaper", 10.0, made.clock()).answer == "not_enough_traffic"
        assert forecast(made.store, "cheaper", 1e6, made.clock()).answer == "enough"
    finally:
        made.close()


def test_a_running_experiment_is_forecast_from_its_own_pace_and_spread(small_world: World) -> None:
    """One unit a minute is 1,440 a day; a rate of .9 takes fewer units than the hardest case."""
    before = forecast(small_world.store, "cheaper", None, small_world.clock())
    serve(small_world, 600, 1.0)
    after = forecast(small_world.store, "cheaper", None, small_world.clock())
    assert before.units_per_day is None
    assert after.units_per_day == pytest.approx(1440, rel=0.02)
    assert after.modes[0].units_mean < 0.6 * before.modes[0].units_mean
    assert after.units_seen >= 500
    assert after.detectable_now is not None
    assert after.detectable_now > after.detectable_at_max_units


def test_an_unknown_name_and_impossible_traffic_are_refused(small_world: World) -> None:
    """With the code that the command line and the API map to their own."""
    with pytest.raises(NotFound):
        forecast(small_world.store, "nope", None, small_world.clock())
    for wrong in (0.0, -5.0, float("inf"), float("nan")):
        with pytest.raises(InvalidRequest):
            forecast(small_world.store, "cheaper", wrong, small_world.clock())
