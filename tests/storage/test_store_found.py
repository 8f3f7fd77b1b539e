"""How a task was found stays with its decision, in every store."""

from tests.storage.scenes import Scene


def test_what_named_a_task_is_kept_with_the_decision(scene: Scene) -> None:
    """Which classifier sent a request where, and how sure it was, must be readable afterwards."""
    words = ["explicit", "classified 0.8 1a2b3c4d", "unsure 0.3 http", ""]
    scene.record(*(scene.decision(number, found=found) for number, found in enumerate(words)))
    assert [row["found"] for row in scene.store.export("decisions")] == words
