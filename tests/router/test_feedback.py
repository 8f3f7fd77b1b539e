"""Feedback: strict parsing, ranges, and states."""

import orjson
import pytest

from router.deciding.choose import RouteRequest
from router.errors import InvalidRequest
from router.recording.feedback import MAX_ITEMS, parse_items
from storage.records import FeedbackState
from tests.router.worlds import World, document, experiment, world

BILLING = RouteRequest(task="support/billing")
BAD_VALUES = ["NaN", "1e999", "-1e999", '"0.5"', "true", "1e300", "{}", "[]"]


@pytest.mark.parametrize("field", ["value", "cost_usd", "latency_ms", "input_tokens"])
@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_value_that_is_no_plain_number_is_refused_with_index_and_field(field: str, value: str) -> None:
    """F13: no non-finite or converted value ever gets into the state."""
    body = f'[{{"decision_id": "a", "value": 1}}, {{"decision_id": "b", "{field}": {value}}}]'
    with pytest.raises(InvalidRequest) as caught:
        parse_items(body.encode())
    if value not in ("NaN", "1e999", "-1e999"):  # those are no JSON at all
        assert (caught.value.index, caught.value.field) == (1, field)


@pytest.mark.parametrize(
    ("item", "telling"),
    [
        ({"decision_id": "a"}, "nothing is reported"),
        ({"decision_id": "a", "metric": "m"}, "has no value"),
        ({"decision_id": "a", "metric": "cost_usd", "value": 1.0}, "own field"),
        ({"decision_id": "a", "metric": "reward_unclipped", "value": 1.0}, "kept by Pointsman itself"),
        ({"decision_id": "a", "metric": "reward_uncosted", "value": 1.0}, "kept by Pointsman itself"),
        ({"decision_id": "a", "metric": "cost_usd_uncapped", "value": 1.0}, "kept by Pointsman itself"),
        ({"decision_id": "a", "value": 1.0, "api_base": "http://x"}, "api_base"),
        ({"decision_id": "a", "cost_usd": -0.1}, "cost_usd"),
        ({"decision_id": "a", "latency_ms": -1}, "latency_ms"),
        ({"decision_id": "a", "input_tokens": 10}, "belong together"),
        ({"decision_id": "a", "input_tokens": 10**18, "output_tokens": 1}, "input_tokens"),
        ({"decision_id": "a", "value": 1.0, "occurred_at": "2026-11-20T10:00:00"}, "occurred_at"),
        ({"decision_id": "a", "value": 1.0, "occurred_at": "yesterday"}, "occurred_at"),
        ({"decision_id": "a" * 129, "value": 1.0}, "decision_id"),
        ({"decision_id": "a", "value": 1.0, "idempotency_key": ""}, "idempotency_key"),
        ({"value": 1.0}, "decision_id"),
        ("text", "item 0"),
    ],
)
def test_a_bad_item_says_what_is_wrong(item: object, telling: str) -> None:
    """The message names the field and the remedy."""
    with pytest.raises(InvalidRequest, match=telling):
        parse_items(orjson.dumps(item))


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"[" * 100_000, orjson.dumps([{}] * (MAX_ITEMS + 1))])
def test_a_body_that_is_no_list_of_items_is_refused(body: bytes) -> None:
    """Also one that nests deeper than any parser should follow."""
    with pytest.raises(InvalidRequest):
        parse_items(body)


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0])
def test_a_reward_outside_its_kind_is_refused_and_nothing_of_the_body_is_stored(
    small_world: World, value: float
) -> None:
    """One bad item refuses the whole list."""
    good, bad = small_world.engine.route(BILLING), small_world.engine.route(BILLING)
    items = [{"decision_id": good.id, "value": 1.0}, {"decision_id": bad.id, "value": value}]
    with pytest.raises(InvalidRequest, match="item 1") as caught:
        small_world.engine.give_feedback(parse_items(orjson.dumps(items)))
    assert caught.value.field == "value"
    small_world.engine.recorder.flush()
    assert list(small_world.store.export("feedback")) == []


def test_a_score_is_checked_against_its_declared_range() -> None:
    """Its bounds are the user's, both included."""
    made = world(
        document(
            experiments={"cheaper": experiment(reward={"kind": "score", "range": [1, 5], "window": "1s"})}
        )
    )
    decision = made.engine.route(BILLING)
    assert made.give(decision.id, value=5.0).state is FeedbackState.APPLIED
    with pytest.raises(InvalidRequest, match=r"\[1, 5\]"):
        made.give(decision.id, value=5.5)
    made.close()


def test_a_declared_clip_takes_every_number_and_says_what_counts() -> None:
    """The bounds of every number still hold: what is not finite, or absurd, is refused as ever."""
    clip = {"kind": "score", "range": [1, 5], "outside": "clip", "window": "1s"}
    made = world(document(experiments={"cheaper": experiment(reward=clip)}))
    decision = made.engine.route(BILLING)
    reply = made.give(decision.id, value=250.0)
    assert (reply.state, reply.effective) == (FeedbackState.APPLIED, 5.0)
    assert reply.detail == "250 is outside [1, 5]: kept as it was sent, counted as 5"
    made.clock.forward(1)
    assert made.give(decision.id, value=-250.0).effective == 1.0
    made.clock.forward(1)
    inside = made.give(decision.id, value=3.0)
    assert (inside.effective, inside.detail) == (3.0, "")
    with pytest.raises(ValueError, match="less than or equal to"):
        made.give(decision.id, value=1e10)
    assert [row["value"] for row in made.store.export("feedback")] == [250.0, -250.0, 3.0]
    made.close()


def test_tokens_become_a_cost_by_the_candidates_price(small_world: World) -> None:
    """The decision API reports tokens; dear costs 10 in and 20 out, cheap 1 and 2 USD per million."""
    decision = small_world.engine.route(BILLING)
    small_world.engine.recorder.flush()
    small_world.give(decision.id, value=1.0, input_tokens=1000, output_tokens=500)
    cells = {row.arm: row for row in small_world.store.cells(decision.experiment_id)}
    expected = 0.02 if decision.candidate == "dear" else 0.002
    assert cells[decision.arm].moments["cost_usd"][3] == pytest.approx(expected)


def test_states_name_what_became_of_each_item(small_world: World) -> None:
    """Every path has its name: applied, duplicate, superseded, unknown, late, forged."""
    engine, clock = small_world.engine, small_world.clock
    decision, outside = engine.route(BILLING), engine.route(RouteRequest(task="support"))
    assert (
        small_world.give(decision.id, value=1.0).state is FeedbackState.APPLIED
    )  # early: its row is not written yet
    assert small_world.give(decision.id, value=1.0).state is FeedbackState.DUPLICATE
    clock.forward(1)
    changed = small_world.give(decision.id, value=0.0)
    assert (changed.state, changed.effective) == (FeedbackState.SUPERSEDED, 0.0)
    assert small_world.give(outside.id, value=1.0).state is FeedbackState.UNKNOWN
    assert small_world.give(decision.id[:-2] + "AA", value=1.0).state is FeedbackState.FORGED
    clock.forward(10_000)
    assert small_world.give(decision.id, value=1.0).state is FeedbackState.LATE


def test_a_retry_with_its_idempotency_key_is_known_whatever_came_between(small_world: World) -> None:
    """A late network duplicate must not undo a newer value."""
    decision = small_world.engine.route(BILLING)
    small_world.give(decision.id, value=1.0, idempotency_key="first")
    small_world.clock.forward(5)
    small_world.give(decision.id, value=0.0, idempotency_key="second")
    small_world.clock.forward(5)
    again = small_world.give(decision.id, value=1.0, idempotency_key="first")
    assert (again.state, again.effective) == (FeedbackState.DUPLICATE, 0.0)
