"""Feedback that counts nowhere: late, unknown, or of a unit with another candidate; kept, and kept once."""

import pytest

from tests.storage.scenes import Scene

DAY_MS = 86_400_000


def test_feedback_after_the_window_is_late_and_kept(scene: Scene) -> None:
    """Late rewards would make slow experiments look better than fast ones; they are kept, not counted."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision))
    before = scene.cell()
    scene.now += DAY_MS + 2_001
    (reply,) = scene.record(scene.feedback(decision))
    assert (reply.state, reply.effective) == ("late", None)
    assert scene.cell() == before
    assert [row["state"] for row in scene.store.export("feedback")] == ["late"]


@pytest.mark.parametrize("key", [None, "k"])
def test_a_late_value_is_kept_once(scene: Scene, key: str | None) -> None:
    """A client that cannot take `late` for an answer may not fill the disk with it."""
    decision = scene.decision()
    scene.record(decision, scene.call(decision))
    scene.now += DAY_MS + 2_001
    states = []
    for value in (1.0, 1.0, 0.0, 1.0, 0.0):
        scene.now += 1
        (reply,) = scene.record(scene.feedback(decision, value, idempotency_key=key))
        states.append(reply.state)
        assert reply.effective is None
        assert "window is over" in reply.detail
    fresh = "late" if key is None else "duplicate"
    assert states == ["late", "duplicate", fresh, "duplicate", "duplicate"]
    assert len(list(scene.store.export("feedback"))) == (2 if key is None else 1)


def test_a_value_that_counts_is_no_news_when_it_comes_again_late(scene: Scene) -> None:
    """The retry of an outcome that was counted in time; the reply still says what counts."""
    decision = scene.decision()
    scene.record(decision, scene.feedback(decision))
    scene.now += DAY_MS + 2_001
    (reply,) = scene.record(scene.feedback(decision))
    assert (reply.state, reply.effective) == ("duplicate", 1.0)
    assert scene.state_of(scene.feedback(decision, 0.0)) == "late"
    assert len(list(scene.store.export("feedback"))) == 2


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"experiment_id": 0, "epoch": 0}, "unknown"),
        ({"experiment_id": 77}, "unknown"),
        ({"epoch": 0, "degraded": True}, "accepted"),
    ],
)
def test_values_without_an_effect_are_kept_once(scene: Scene, fields: dict[str, int], state: str) -> None:
    """Within one batch and after it, for each metric and value."""
    decision = scene.decision(**fields)
    values = (("reward", 1.0), ("cost_usd", 0.5))
    report = scene.feedback(decision, values=values)
    replies = scene.record(decision, report, report)
    assert [reply.state for reply in replies] == [state, "duplicate"]
    scene.now += 5
    assert scene.state_of(scene.feedback(decision, values=values)) == "duplicate"
    assert scene.state_of(scene.feedback(decision, values=(("cost_usd", 0.25), *values))) == state
    assert [row["value"] for row in scene.store.export("feedback")] == [1.0, 0.5, 0.25]


def test_values_of_a_unit_with_another_candidate_are_kept_once(scene: Scene) -> None:
    """The loser of a race has an id like everybody else."""
    winner, loser = scene.decision("ann", arm=0), scene.decision("ann", arm=1)
    scene.record(winner, loser)
    assert [scene.state_of(scene.feedback(loser)) for _ in range(3)] == ["accepted", "duplicate", "duplicate"]
    assert len(list(scene.store.export("feedback"))) == 1
