"""POST /v1/feedback."""

from collections.abc import Iterator

import pytest

from api.admin.schemas import FeedbackAnswer
from tests.servers.front import Front, open_front


@pytest.fixture
def front() -> Iterator[Front]:
    with open_front() as opened:
        opened.start_experiment()
        yield opened


def decide(front: Front, user: str = "u1") -> str:
    return str(front.post("/v1/route", {"task": "support", "user": user}).json["decision_id"])


def stored(front: Front) -> int:
    front.engine.recorder.flush()
    return len(list(front.store.export("feedback")))


def test_one_item_is_answered_with_its_state(front: Front) -> None:
    """202 means durable; the state says whether it counts."""
    decision = decide(front)
    answer = front.post("/v1/feedback", {"decision_id": decision, "value": 1})
    assert answer.status == 202
    assert FeedbackAnswer.model_validate_json(answer.body).state == "applied"
    assert answer.json["results"] == [{"decision_id": decision, "state": "applied", "effective": 1.0}]


def test_a_list_is_answered_in_its_order(front: Front) -> None:
    """Duplicates, changed values and forged ids side by side: each gets its own state."""
    first, second = decide(front, "u1"), decide(front, "u2")
    answer = front.post(
        "/v1/feedback",
        [
            {"decision_id": first, "value": 0},
            {"decision_id": first, "value": 0},
            {"decision_id": second[:-1] + ("A" if second[-1] != "A" else "B"), "value": 1},
            {"decision_id": second, "value": 1},
            {"decision_id": "x", "value": 1},
        ],
    )
    assert answer.status == 202
    assert "state" not in answer.json
    states = [result["state"] for result in answer.json["results"]]
    assert states == ["applied", "duplicate", "forged", "applied", "forged"]
    assert stored(front) == 2


def test_a_single_forged_item_is_forbidden(front: Front) -> None:
    """A client with broken ids must see it as an error; nothing may be kept of it."""
    answer = front.post("/v1/feedback", {"decision_id": "A" * 64, "value": 1})
    assert (answer.status, answer.code, answer.json["state"]) == (403, "forged_decision_id", "forged")
    assert stored(front) == 0


BROKEN = [
    ({"value": float("inf")}, None),
    ({"value": "0.5"}, "value"),
    ({"value": True}, "value"),
    ({"value": 2}, "value"),
    ({"value": 0.5}, "value"),
    ({"value": None}, None),
    ({"value": 1, "cost_usd": -1}, "cost_usd"),
    ({"value": 1, "latency_ms": -0.5}, "latency_ms"),
    ({"value": 1, "input_tokens": 10**18, "output_tokens": 1}, "input_tokens"),
    ({"value": 1, "rating": 5}, "rating"),
    ({"value": 1, "occurred_at": "2026-11-20T12:00:00"}, "occurred_at"),
    ({"value": 1, "idempotency_key": ""}, "idempotency_key"),
]


@pytest.mark.parametrize(("fields", "field"), BROKEN)
def test_one_broken_item_refuses_the_whole_body(
    front: Front, fields: dict[str, object], field: str | None
) -> None:
    """Half a stored batch cannot be sent again; the answer names the item and its field."""
    good = {"decision_id": decide(front), "value": 1}
    answer = front.post("/v1/feedback", [good, {"decision_id": decide(front, "u2"), **fields}])
    assert (answer.status, answer.code) == (422, "invalid_request")
    error = answer.json["error"]
    if field is not None:
        assert (error["index"], error["param"]) == (1, field)
    assert stored(front) == 0


def test_when_the_ledger_is_away_nothing_is_acknowledged(front: Front) -> None:
    """A 202 without a commit would be a lie; the client is told when to try again, and decisions go on."""
    decision = decide(front)
    front.store.close()
    answer = front.post("/v1/feedback", {"decision_id": decision, "value": 1})
    assert (answer.status, answer.code) == (503, "store_down")
    assert int(answer.headers["retry-after"]) >= 1
    assert front.post("/v1/route", {"task": "support", "user": "u9"}).status == 200


def test_states_are_counted(front: Front) -> None:
    """A flood of forged ids must be seen on the metrics page."""
    front.post("/v1/feedback", [{"decision_id": "x", "value": 1}, {"decision_id": decide(front), "value": 1}])
    text = front.get("/metrics").body.decode()
    assert 'pointsman_feedback_total{state="forged"} 1' in text
    assert 'pointsman_feedback_total{state="applied"} 1' in text
