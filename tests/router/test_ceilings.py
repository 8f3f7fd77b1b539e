"""A task's ceiling: the most that one of its requests may cost, held before any share is drawn."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.applying.checks import check_document
from router.config.document import Document
from router.deciding.choose import Decision, RouteRequest
from router.deciding.eligibility import estimated_usd, lacking
from router.deciding.explained import considered
from router.deciding.needs import Needs, within_ceiling
from router.deciding.place import place
from router.errors import InvalidRequest
from tests.router.worlds import World, document, experiment, model, world

BILLING = RouteRequest(task="support/billing")
ANSWER = Needs(input_tokens=100, output_tokens=1_000)
"""By the price list $0.021 of the dear model, $0.0021 of the cheap one and $0.0021 of the spare."""


def capped(
    support: float | None,
    billing: float | None = None,
    fallbacks: tuple[str, ...] = ("spare",),
    **more: object,
) -> World:
    """The small world with ceilings on `support` and on its child."""
    stated = {"support": support, "support/billing": billing}
    own: dict[str, dict[str, object]] = {
        "support": {"default": "dear", "fallbacks": list(fallbacks)},
        "support/billing": {},
    }
    for task, most in stated.items():
        own[task] |= {} if most is None else {"max_cost_usd": most}
    return world(document(tasks=own, **more))


def routed(made: World, needs: Needs | None = ANSWER, **more: object) -> Decision:
    """One decision of the task with the experiment."""
    return made.engine.route(replace(BILLING, needs=needs, **more))  # type: ignore[arg-type]  # reason: any field


@pytest.mark.parametrize(
    ("support", "billing", "reason"),
    [(None, None, "experiment"), (0.021, None, "experiment"), (0.0209, None, "ineligible"),
     (0.001, 0.05, "experiment"), (0.05, 0.01, "ineligible")],
)  # fmt: skip
def test_a_child_has_its_parents_ceiling_unless_it_states_its_own(
    support: float | None, billing: float | None, reason: str
) -> None:
    """Settings come from the nearest task that states them, and a price that meets the bound is within it."""
    made = capped(support, billing)
    assert {routed(made).reason for _ in range(20)} == {reason}
    made.close()


def test_no_share_is_drawn_where_one_candidate_is_too_dear() -> None:
    """Drawn first, the dear arm would lack its long requests; so they all go to a model within the ceiling."""
    made = capped(0.01)
    seen = {(d.model, d.reason, d.propensity, d.experiment_id) for d in (routed(made) for _ in range(50))}
    assert seen == {("spare", "ineligible", 1.0, 0)}
    short = Needs(input_tokens=100, output_tokens=100)
    assert {routed(made, short).model for _ in range(50)} == {"dear", "cheap"}
    made.close()


@given(st.none() | st.floats(1e-6, 1e3), st.none() | st.floats(1e-6, 1e3))
def test_the_smaller_of_the_tasks_and_the_callers_ceiling_holds(
    tasks: float | None, callers: float | None
) -> None:
    """Law: neither side can lift the other's bound."""
    needs = within_ceiling(Needs(max_cost_usd=callers), tasks, "mail")
    assert needs is not None
    assert needs.max_cost_usd == min((each for each in (tasks, callers) if each is not None), default=None)
    assert (needs.ceiling_of == "mail") == (tasks is not None and (callers is None or tasks < callers))


@given(st.floats(1e-5, 0.1), st.integers(0, 5_000), st.none() | st.integers(0, 5_000))
def test_whoever_may_serve_is_within_the_ceiling(most: float, length: int, longest: int | None) -> None:
    """Law: the model that serves, every fallback, and inside the experiment every candidate."""
    snapshot = OPEN.engine.snapshot
    route = replace(snapshot.tasks["support/billing"], max_cost_usd=most, ceiling_of="support")
    under = replace(snapshot, tasks={**snapshot.tasks, "support/billing": route})
    needs = Needs(input_tokens=length, output_tokens=longest)
    cost = {
        name: estimated_usd(snapshot.models[name], snapshot.prices[name], needs) for name in snapshot.models
    }
    if all(usd is not None and usd > most for usd in cost.values()):
        with pytest.raises(InvalidRequest, match=re.escape(f"max_cost_usd {most:g} of task support")):
            place(under, replace(BILLING, needs=needs))
        return
    placement = place(under, replace(BILLING, needs=needs))
    used = {placement.model, *placement.route.fallbacks}
    used |= set(placement.experiment.candidates) if placement.experiment is not None else set()
    assert all((usd := cost[name]) is not None and usd <= most for name in used)


OPEN = capped(1.0)


def test_pins_tiers_and_rules_are_held_to_it() -> None:
    """A way around the ceiling would be no ceiling."""
    made = capped(0.01, routes=[{"when": {"tags": ["vip"]}, "model": "dear"}])
    with pytest.raises(
        InvalidRequest, match=r"'dear' lacks a price within max_cost_usd 0.01 of task support"
    ):
        routed(made, override="dear")
    with pytest.raises(InvalidRequest, match=r"no model of the tier.*max_cost_usd 0.01"):
        routed(made, tier=2)
    assert routed(made, override="cheap").model == "cheap"
    ruled = routed(made, replace(ANSWER, tags=("vip",)))
    assert (ruled.model, ruled.reason) == ("spare", "ineligible")
    made.close()


def test_fallbacks_are_held_to_it() -> None:
    """A cheap model that is down must not become a dear answer."""
    made = capped(0.01, fallbacks=("cheap", "spare"), experiments={})
    seen = routed(made)
    assert (seen.model, seen.fallbacks) == ("cheap", ("spare",))
    made.close()


def test_the_reason_names_ceiling_price_and_remedy() -> None:
    """Whoever is refused must know which number to change."""
    made = capped(0.01)
    why = routed(made).explanation
    assert (
        "dear lacks a price within max_cost_usd 0.01 of task support (about $0.021 here; raise the ceiling"
        in why
    )
    lines = "\n".join(considered(made.engine.snapshot, replace(BILLING, needs=ANSWER), routed(made)))
    assert "one request of task support may cost at most $0.01" in lines
    assert "dear (champion, candidate): lacks a price within max_cost_usd 0.01 of task support" in lines
    hinted = replace(BILLING, needs=replace(ANSWER, max_cost_usd=0.005))
    lines = "\n".join(considered(made.engine.snapshot, hinted, made.engine.route(hinted)))
    assert "the caller's max_cost is smaller and holds" in lines
    assert "dear (champion, candidate): lacks a price within max_cost 0.005" in lines
    made.close()


def test_a_text_is_measured_where_nobody_says_how_long_it_is() -> None:
    """The library and the decision API have no body to read; a file without ceilings measures nothing."""
    made = capped(0.0205)
    assert routed(made, None, text="word").reason == "experiment"
    assert routed(made, None, text="word " * 2_000).reason == "ineligible"
    made.close()
    free = world()
    assert not free.engine.snapshot.screens
    free.close()


def unpriced(**changes: object) -> Document:
    """The small document with a model whose price nobody knows, and a ceiling."""
    models = {"dear": model(), "cheap": model(), "spare": {"base_url": "http://127.0.0.1:9/v1"}}
    return document(models=models, **changes)


@pytest.mark.parametrize(
    "tasks",
    [
        {"support": {"max_cost_usd": 0.1, "fallbacks": ["spare"]}, "support/billing": {}},
        {"support": {"max_cost_usd": 0.1}, "support/billing": {"default": "spare"}},
    ],
)
def test_a_model_without_a_price_under_a_ceiling_is_refused(tasks: dict[str, object]) -> None:
    """It could never serve; and no request may run under a ceiling that nobody can check."""
    found = [each for each in check_document(unpriced(tasks=tasks)) if each.severity == "error"]
    assert {each.loc for each in found} == {("tasks", "support", "max_cost_usd")}
    assert "give models.spare.price" in found[0].message


def test_an_unpriced_candidate_under_a_ceiling_is_refused() -> None:
    """Every request would be ineligible, and the experiment would never see one."""
    tasks = {"support": {"max_cost_usd": 0.1}, "support/billing": {}}
    drafted = {"odd": experiment(candidates=["dear", "spare"])}
    found = [
        each
        for each in check_document(unpriced(tasks=tasks, experiments=drafted))
        if each.severity == "error"
    ]
    assert [each.loc for each in found] == [("tasks", "support", "max_cost_usd")]
    assert lacking(unpriced().models["spare"], None, Needs(max_cost_usd=1.0, ceiling_of="support")) == (
        "a known price to hold against max_cost_usd 1 of task support; give its price"
    )
