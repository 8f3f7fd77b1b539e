"""Predictions of policies in every store: kept with the decision, and summed beside the reward by tenths."""

from collections.abc import Callable
from itertools import permutations

import pytest

from experiments.evidence.units import MOMENTS
from storage.store import Store
from tests.storage.scenes import Row, Scene


def sums(scene: Scene, tenth: int, arm: int = 1) -> dict[str, float] | None:
    """The moments of one bin; None where nothing is in it."""
    moments = scene.cell(arm=arm).moments.get(f"predicted_{tenth}")
    return None if moments is None else dict(zip(MOMENTS, moments, strict=True))


def test_a_prediction_is_kept_with_its_decision(scene: Scene) -> None:
    """Whoever exports the ledger can judge it by rules of their own."""
    stated = [0.75, None, 0.0, 1.0]
    scene.record(*(scene.decision(number, predicted=each) for number, each in enumerate(stated)))
    assert [row["predicted"] for row in scene.store.export("decisions")] == stated


def test_prediction_and_reward_meet_in_the_bin_of_the_prediction(scene: Scene) -> None:
    """Law: each bin holds the moments of (1, p, y) over the requests that have both."""
    said = [(0.75, 1.0), (0.75, 0.0), (1.0, 1.0), (0.0, 0.0), (None, 1.0)]
    rows: list[Row] = []
    for unit, (predicted, reward) in enumerate(said):
        decision = scene.decision(unit, arm=1, predicted=predicted)
        rows += [decision, scene.call(decision), scene.feedback(decision, reward)]
    unrated = scene.decision("unrated", arm=1, predicted=0.75)
    scene.record(*rows, unrated, scene.call(unrated))
    found = sums(scene, 7)
    assert found is not None
    assert (found["11"], found["1N"], found["1R"]) == (2, 1.5, 1)
    assert (found["NN"], found["NR"], found["RR"]) == (2 * 0.75**2, 0.75, 1)
    last, first = sums(scene, 9), sums(scene, 0)
    assert last is not None
    assert first is not None
    assert (last["11"], last["1N"], first["11"], first["1N"]) == (1, 1.0, 1, 0.0)
    assert sums(scene, 3) is None


def test_a_reward_that_changes_moves_its_bin(scene: Scene) -> None:
    """The last word counts, here as everywhere."""
    decision = scene.decision(1, arm=1, predicted=0.5)
    scene.record(decision, scene.call(decision), scene.feedback(decision, 0.0))
    scene.now += 1_000
    scene.record(scene.feedback(decision, 1.0))
    found = sums(scene, 5)
    assert found is not None
    assert (found["11"], found["1R"], found["NR"]) == (1, 1, 0.5)


def test_what_a_fallback_answered_is_left_out(scene: Scene) -> None:
    """The prediction was about another model."""
    decision = scene.decision(1, arm=1, predicted=0.5)
    scene.record(decision, scene.call(decision, diverted=True), scene.feedback(decision, 1.0))
    assert sums(scene, 5) is None
    assert scene.cell(arm=1).moments["reward"][0] == 1


def test_only_requests_with_a_binary_reward_are_judged(new_store: Callable[[], Store]) -> None:
    """A conversation has one reward and many predictions, and a score is no success."""
    for fields in ({"unit": "user"}, {"reward": {"kind": "score"}}):
        scene = Scene(new_store())
        scene.start(**fields)
        decision = scene.decision(1, arm=1, predicted=0.5)
        scene.record(decision, scene.call(decision), scene.feedback(decision, 1.0))
        assert sums(scene, 5) is None
        assert [row["predicted"] for row in scene.store.export("decisions")] == [0.5]
        scene.store.close()


def test_any_order_of_arrival_gives_the_same_bins(new_scene: Callable[[], Scene]) -> None:
    """Feedback may overtake the decision that it is about."""
    found = []
    for order in permutations(range(3)):
        scene = new_scene()
        scene.start()
        decision = scene.decision(1, arm=1, predicted=0.25)
        parts: list[Row] = [decision, scene.call(decision), scene.feedback(decision, 1.0)]
        for place in order:
            scene.record(parts[place])
        found.append(sums(scene, 2))
        scene.store.close()
    assert found[0] is not None
    assert found.count(found[0]) == len(found)


@pytest.mark.parametrize("metric", ["predicted", "predicted_4"])
def test_nobody_reports_predictions_as_feedback(metric: str) -> None:
    """What the statistics keep themselves cannot be forged by a caller."""
    from pydantic import ValidationError

    from router.recording.feedback import FeedbackItem

    with pytest.raises(ValidationError, match="kept by Pointsman itself"):
        FeedbackItem(decision_id="x", metric=metric, value=1.0)
