"""Several experiments at once: which are discoveries, by e-BH on what the planner remembers of each."""

import json
from math import log

import pytest

from experiments.inference.ebh import discoveries
from experiments.verdict.progress import Progress
from router.steering.look import render_report
from router.steering.together import discovered, e_values
from tests.router.worlds import World, document, experiment, world

ALPHAS = {"one": 0.05, "two": 0.05, "three": 0.05, "four": 0.2}


def several(values: dict[str, float]) -> World:
    """A world of four running experiments with these deciding e-values."""
    made = world(
        document(
            tasks={name: {} for name in ALPHAS},
            experiments={
                name: experiment(task=name, decision={"alpha": alpha}) for name, alpha in ALPHAS.items()
            },
        )
    )
    lease = made.store.acquire_lease("planner", "test", made.clock(), 10_000)
    assert lease is not None
    for name, value in values.items():
        row = made.control.experiment(name)
        made.store.put_progress(row.id, Progress(e_value=value).dumps(), lease, made.clock())
    made.store.release_lease(lease)
    return made


def test_the_discoveries_are_those_of_e_bh_at_each_ones_alpha() -> None:
    """70 would pass alone at .05; among four experiments it takes 80 alone and 40 for two."""
    values = {"one": 70.0, "two": 45.0, "three": 1.0, "four": 11.0}
    made = several(values)
    found = discovered(made.store, made.control.experiments())
    logs = [log(values[name]) for name in found]
    expected = {name: discoveries(logs, ALPHAS[name]).found[place] for place, name in enumerate(found)}
    assert found == expected == {"one": True, "two": True, "three": False, "four": True}
    made.close()


def test_a_report_knows_of_the_others() -> None:
    """Whoever reads one report sees how many others run beside it."""
    made = several({"one": 70.0, "two": 45.0, "three": 1.0, "four": 11.0})
    made.tick()
    shown = json.loads(made.control.report("three").body)["discovery"]
    assert (shown["experiments"], shown["found"]) == (4, False)
    fresh = json.loads(render_report(made.store, "three", made.clock()))["discovery"]
    assert fresh["experiments"] == 4
    made.close()


def test_more_experiments_raise_the_bar() -> None:
    """That is the point: among many, some look like winners by chance."""
    made = several({"one": 70.0, "two": 1.0, "three": 1.0, "four": 1.0})
    assert discovered(made.store, made.control.experiments())["one"] is False
    for name in ("two", "three", "four"):
        made.control.stop(name, "ann")
    assert discovered(made.store, made.control.experiments()) == {"one": True}
    made.close()


def test_only_experiments_that_search_count(small_world: World) -> None:
    """A draft has no data yet, an ended one its verdict, and a holdback searches for nothing."""
    assert e_values(small_world.store, small_world.control.experiments()) == {"cheaper": 1.0}
    small_world.control.promote("cheaper", "ann", "told so", "cheap", force=True)
    assert e_values(small_world.store, small_world.control.experiments()) == {}


def test_an_experiment_without_a_look_is_no_discovery(small_world: World) -> None:
    """Its e-value is one."""
    assert discovered(small_world.store, small_world.control.experiments()) == {"cheaper": False}


@pytest.mark.parametrize("value", [0.0, 1e308])
def test_extreme_e_values_are_compared_as_any_other(value: float) -> None:
    """Zero is no evidence at all; the largest float is a discovery."""
    made = several({"one": value})
    assert discovered(made.store, made.control.experiments())["one"] is (value > 1)
    made.close()
