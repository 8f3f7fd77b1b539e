"""The story of one decision: all its rows and nobody else's, the same from every store."""

from storage.store import Store
from tests.storage.scenes import Scene


def test_a_story_holds_the_rows_of_one_decision_and_no_other(scene: Scene) -> None:
    """Whoever looks for the reason of one answer must not read another one's."""
    first, second = scene.decision("ann"), scene.decision("bob")
    scene.record(first, second, scene.call(first), scene.call(second))
    scene.record(scene.feedback(first), scene.feedback(second))
    story = scene.store.story(1, first.number)
    assert story is not None
    exported = {
        kind: [row for row in scene.store.export(kind) if row["number"] == first.number]
        for kind in ("decisions", "calls", "feedback")
    }
    assert [story.decision] == exported["decisions"]
    assert [story.call] == exported["calls"]
    assert list(story.feedback) == exported["feedback"]
    assert len(story.feedback) == 1


def test_a_decision_without_a_call_or_feedback_has_a_story_too(scene: Scene) -> None:
    """Callers that call models themselves never have one."""
    row = scene.decision("ann")
    scene.record(row)
    story = scene.store.story(1, row.number)
    assert story is not None
    assert (story.call, story.feedback) == (None, ())


def test_what_is_not_recorded_has_no_story(store: Store) -> None:
    """Rows are written a moment after the answer."""
    assert store.story(0, 7) is None
