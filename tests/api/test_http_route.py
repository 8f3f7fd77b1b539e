"""POST /v1/route."""

from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.admin.route_schemas import RouteAnswer, RouteBody
from api.serving.decisions import MAX_UNIT_CHARACTERS, parse_route
from api.serving.metrics import POSITIONS
from experiments.definition.experiment import Experiment
from router.deciding.needs import Needs
from router.errors import InvalidRequest
from tests.servers.front import Front, open_front

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from(["interactive", "batch", "eu", {"tools": True}, {"input_tokens": 3}, {"vision": 1}]),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["u" * 400, "u" * 401, "u" * 1_000, "u" * 1_001]),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(
        st.text(max_size=3), st.one_of(st.text(max_size=3), st.none(), st.integers(-5, 5)), max_size=2
    ),
)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from([*RouteBody.model_fields, "unknown"]), VALUES, max_size=4), VALUES
)


@pytest.fixture
def front() -> Iterator[Front]:
    with open_front() as opened:
        yield opened


@given(BODIES)
def test_the_check_by_hand_accepts_what_the_schema_accepts(body: object) -> None:
    """The OpenAPI page shows the schema; the hot path must not follow other rules."""
    text = orjson.dumps(body)
    try:
        RouteBody.model_validate_json(text)
    except ValidationError:
        with pytest.raises(InvalidRequest):
            parse_route(text)
    else:
        parse_route(text)


def test_the_check_by_hand_hands_every_field_on() -> None:
    """A field that is accepted and dropped would route the request elsewhere, silently."""
    request = parse_route(
        b'{"task":"t","metadata":{"a":"b"},"text":"x","unit":"u","session_id":"s","user":"w","override":"m","tier":3,"covariate":-2,'
        b'"max_cost":0.5,"latency":"batch","residency":"EU","language":"de_AT","domain":"law","skills":["Code"],'
        b'"tags":["a","b"],"needs":{"tools":true,"output_tokens":9},"explain":true,"trace_id":"w"}'
    )
    assert (request.task, request.metadata, request.text, request.unit) == ("t", {"a": "b"}, "x", "u")
    assert (request.session, request.user, request.override, request.tier) == ("s", "w", "m", 3)
    assert (request.covariate, request.explain, request.trace) == (-2.0, True, "w")
    assert request.needs == Needs(
        0.5, "batch", "eu", "de-at", "law", ("code",), ("a", "b"), None, 9, tools=True
    )


def test_a_decision_says_everything_about_itself(front: Front) -> None:
    """A caller explains a choice to its users from this answer alone; it must be what OpenAPI promises."""
    front.start_experiment()
    answer = front.post("/v1/route", {"task": "support", "user": "u1"})
    assert answer.status == 200
    decision = RouteAnswer.model_validate_json(answer.body)
    assert decision.model == decision.candidate
    assert decision.model in ("big", "small")
    assert (decision.experiment, decision.task, decision.task_reason) == ("cheaper", "support", "explicit")
    assert (decision.propensity, decision.reason, decision.degraded) == (0.5, "experiment", False)
    assert front.post("/v1/route", {"task": "support", "user": "u1"}).json["model"] == decision.model


def test_in_mode_shadow_a_caller_is_offered_a_copy_and_reports_both_sides(front: Front) -> None:
    """What the gateway does for its clients, a caller of models does with two ids and ordinary feedback."""
    assert RouteAnswer.model_validate_json(front.post("/v1/route", {"task": "support"}).body).copy_ is None
    front.house.start(
        Experiment(
            name="probe", task="support", candidates=("big", "small"), mode="shadow", shadow_usd_per_day=1.0
        )
    )
    decision = RouteAnswer.model_validate_json(front.post("/v1/route", {"task": "support"}).body)
    copy = decision.copy_
    assert (decision.model, decision.propensity) == ("big", 1.0)
    assert copy is not None
    assert (copy.model, copy.candidate) == ("small", "small")
    sides = [
        {"decision_id": copy.decision_id, "error": "timed out"},
        {"decision_id": decision.decision_id, "input_tokens": 10, "output_tokens": 5, "latency_ms": 90.5},
    ]
    for side in sides:
        assert front.post("/v1/feedback", side).json["state"] == "applied"
    cells = {cell.arm: cell.moments for cell in front.store.cells(front.control.experiment("probe").id)}
    assert cells[1]["pair_error"][:3] == (1.0, 1.0, 1.0)
    assert front.counters.values[POSITIONS["copies", "offered"]] == 1


def test_a_caller_is_not_offered_what_the_days_money_does_not_pay(front: Front) -> None:
    """An answer of a thousand tokens of `small` costs 0.002 dollars by the list."""
    front.house.start(
        Experiment(
            name="probe", task="support", candidates=("big", "small"), mode="shadow", shadow_usd_per_day=0.001
        )
    )
    assert front.post("/v1/route", {"task": "support"}).json["copy"] is None
    assert front.counters.values[POSITIONS["copies", "budget"]] == 1
    short = {"task": "support", "needs": {"output_tokens": 100}}
    assert front.post("/v1/route", short).json["copy"]["model"] == "small"


def test_hints_keep_a_request_outside_the_experiment(front: Front) -> None:
    """Whoever names a model gets it, and the statistics never see it."""
    front.start_experiment()
    decision = front.post("/v1/route", {"task": "support", "user": "u1", "override": "small"}).json
    assert (decision["model"], decision["experiment"], decision["reason"]) == ("small", None, "override")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"taks": "support"}, "taks"),
        ({"task": 7}, "task"),
        ({"unit": "u" * (MAX_UNIT_CHARACTERS + 1)}, "unit"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(65)}}, "metadata"),
        ({"tier": True}, "tier"),
        ({"tier": 0}, "tier"),
        ({"text": ["x"]}, "text"),
        ({"override": "undeclared"}, "model"),
        ({"api_base": "http://169.254.169.254/"}, "api_base"),
    ],
)
def test_a_broken_request_names_the_field(front: Front, body: dict[str, object], field: str) -> None:
    """The caller must find the mistake from the answer."""
    answer = front.post("/v1/route", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["error"]["param"] == field
    assert len(answer.body) < 1_000


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"NaN", b"\xff", b'{"task":"\xed\xa0\x80"}', b"[" * 90_000]
)
def test_what_is_no_json_object_is_refused(front: Front, body: bytes) -> None:
    """Deep nesting, half documents and invalid text must end in an answer, never in a traceback."""
    assert front.call("POST", "/v1/route", body).status == 422


def test_a_body_over_the_limit_is_refused_while_reading(front: Front) -> None:
    """Nobody fills the memory with one request."""
    assert front.call("POST", "/v1/route", b" " * 1_000_001).status == 413


def test_other_methods_are_refused_with_the_right_one(front: Front) -> None:
    """A GET on an acting route is a mistake worth explaining."""
    answer = front.get("/v1/route")
    assert (answer.status, answer.code, answer.headers["allow"]) == (405, "method_not_allowed", "POST")
