"""Conditional routes: rules as data, in order, changed while traffic flows."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from router.applying.plan import apply
from router.config.conditions import Condition, Rule, When
from router.deciding.choose import RouteRequest
from router.deciding.conditional import Said, fits, holds
from router.deciding.needs import Needs
from tests.router.worlds import World, document, model, world

MODELS = {"dear": model(10.0, 20.0, tier=2), "cheap": model(tier=1), "spare": model(tier=1), "local": model()}
BILLING = RouteRequest(task="support/billing")


def ruled(*rules: dict[str, object]) -> World:
    """The small world under these routes."""
    return world(document(models=MODELS, routes=list(rules)))


@pytest.mark.parametrize(
    ("condition", "text", "expected"),
    [
        ({"eq": "free"}, "free", True),
        ({"eq": "free"}, "Free", False),
        ({"in": ["free", "trial"]}, "trial", True),
        ({"in": ["free", "trial"]}, "paid", False),
        ({"prefix": "eu-"}, "eu-west", True),
        ({"prefix": "eu-"}, "us-eu-", False),
        ({"exists": True}, "", True),
        ({"exists": True}, None, False),
        ({"exists": False}, None, True),
        ({"exists": False}, "x", False),
        ({"gt": 10}, "10.5", True),
        ({"gt": 10}, "10", False),
        ({"gt": 10}, "many", False),
        ({"gt": 10}, "nan", False),
        ({"lt": 5.0, "gt": 1}, "3", True),
        ({"lt": 5, "gt": 1}, "5", False),
        ({"prefix": "1", "gt": 11}, "12", True),
        ({"eq": "free"}, None, False),
    ],
)
def test_a_condition_is_what_it_says(condition: dict[str, object], text: str | None, expected: bool) -> None:
    """The grammar is small so that everyone reads a rule the same way."""
    assert fits(Condition.model_validate(condition), text) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"latency": "batch"}, True),
        ({"latency": "interactive"}, False),
        ({"language": "de"}, True),
        ({"language": "de-CH"}, False),
        ({"residency": "EU"}, True),
        ({"domain": "law"}, False),
        ({"tags": ["gold"]}, True),
        ({"tags": ["gold", "vip"]}, False),
        ({"input_tokens": {"gt": 1_000}}, True),
        ({"input_tokens": {"lt": 1_000}}, False),
        ({"task": "support"}, True),
        ({"task": "support/billing"}, True),
        ({"task": "code"}, False),
        ({"metadata": {"plan": "free"}, "latency": "batch"}, True),
        ({"metadata": {"plan": "free"}, "latency": "interactive"}, False),
    ],
)
def test_a_rule_holds_where_all_of_it_holds(when: dict[str, object], expected: bool) -> None:
    """Each field narrows; none widens."""
    needs = Needs(latency="batch", language="de-at", residency="eu", tags=("gold",), input_tokens=5_000)
    assert holds(When.model_validate(when), Said({"plan": "free"}, needs), "support/billing") is expected
    assert not holds(When.model_validate(when), Said({}, None), "other")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"when": {}, "tier": 1}, "states nothing"),
        ({"when": {"tags": ["x"]}}, "exactly one of task, model and tier"),
        ({"when": {"tags": ["x"]}, "tier": 1, "model": "m"}, "exactly one of task, model and tier"),
        ({"when": {"task": "a"}, "task": "b"}, "cannot ask for one"),
        ({"when": {"metadata": {"a": {}}}, "tier": 1}, "needs one of eq"),
        ({"when": {"metadata": {"a": {"exists": False, "eq": "x"}}}, "tier": 1}, "excludes every other"),
        ({"when": {"input_tokens": {"prefix": "1"}}, "tier": 1}, "use lt and gt"),
        ({"when": {"metadata": {"a": {"regex": ".*"}}}, "tier": 1}, "regex"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, object], says: str) -> None:
    """A closed grammar: what is not in it is an error at the file, not a rule that never fires."""
    with pytest.raises(ValidationError, match=says):
        Rule.model_validate(rule)


def test_the_first_rule_that_fits_names_the_model_outside_experiments() -> None:
    """Order is the operator's; experiments never see what a rule decided."""
    made = ruled(
        {"when": {"metadata": {"plan": "free"}, "task": "support"}, "model": "local"},
        {"when": {"metadata": {"plan": {"in": ["free", "trial"]}}}, "tier": 1},
    )
    free = made.engine.route(replace(BILLING, metadata={"plan": "free"}))
    assert (free.model, free.reason, free.experiment_id) == ("local", "routed", 0)
    trial = made.engine.route(replace(BILLING, metadata={"plan": "trial"}))
    assert (trial.model, trial.reason) == ("cheap", "routed")
    elsewhere = made.engine.route(RouteRequest(metadata={"plan": "free"}))
    assert (elsewhere.model, elsewhere.reason, elsewhere.task) == ("cheap", "routed", "default")
    assert made.engine.route(replace(BILLING, metadata={"plan": "paid"})).reason == "experiment"
    made.close()


def test_the_callers_own_hints_go_before_rules() -> None:
    """Whoever names a model, a tier or a task has decided."""
    made = ruled(
        {"when": {"metadata": {"plan": "free"}}, "task": "support/billing"},
        {"when": {"metadata": {"plan": "free"}}, "model": "local"},
    )
    request = RouteRequest(task="support", metadata={"plan": "free"})
    seen = made.engine.route(replace(request, override="spare"))
    assert (seen.model, seen.task, seen.reason) == ("spare", "support", "override")
    assert made.engine.route(replace(request, tier=2)).reason == "tier"
    made.close()


def test_a_rule_names_the_task_before_other_rules_do_and_its_experiment_runs() -> None:
    """It is the first of the metadata rules: keywords and classifiers are not asked."""
    made = ruled({"when": {"tags": ["money"]}, "task": "support/billing"})
    seen = made.engine.route(RouteRequest(text="nothing known", needs=Needs(tags=("money",))))
    assert (seen.task, seen.task_reason, seen.reason) == ("support/billing", "routed", "experiment")
    assert made.engine.route(RouteRequest(text="nothing known")).task == "default"
    made.close()


def test_a_model_of_a_rule_that_cannot_serve_gives_way() -> None:
    """A rule is the operator's wish and no licence to send a picture to a blind model."""
    made = world(
        document(
            models={**MODELS, "local": model(vision=False)},
            routes=[{"when": {"metadata": {"plan": "free"}}, "model": "local"}],
        )
    )
    request = replace(BILLING, metadata={"plan": "free"}, needs=Needs(vision=True))
    seen = made.engine.route(request)
    assert (seen.model, seen.reason, seen.experiment_id) == ("spare", "ineligible", 0)
    assert made.engine.route(replace(request, needs=None)).model == "local"
    made.close()


def test_long_requests_can_be_sent_elsewhere() -> None:
    """A rule on length reads it from the text where nobody counted."""
    made = ruled({"when": {"input_tokens": {"gt": 100}}, "model": "local"})
    assert made.engine.route(replace(BILLING, text="word " * 200)).model == "local"
    assert made.engine.route(replace(BILLING, text="word " * 20)).reason == "experiment"
    made.close()


def test_rules_change_while_traffic_flows() -> None:
    """A rule is data: `apply` changes it, the next snapshot follows, nothing restarts."""
    made = ruled()
    request = replace(BILLING, metadata={"plan": "free"})
    assert made.engine.route(request).reason == "experiment"
    rule = {"when": {"metadata": {"plan": "free"}}, "model": "local"}
    plan = apply(made.store, document(models=MODELS, routes=[rule]), made.clock, "ann")
    assert (
        "~ settings of all tasks: routes: [] -> [{when {metadata {plan: {eq free}}}, model local}]"
        in plan.text
    )
    made.engine.refresh()
    assert (made.engine.route(request).model, made.engine.route(request).reason) == ("local", "routed")
    apply(made.store, document(models=MODELS), made.clock, "ann")
    made.engine.refresh()
    assert made.engine.route(request).reason == "experiment"
    made.close()
