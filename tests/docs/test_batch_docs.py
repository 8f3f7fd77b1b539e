"""docs/batch.md: its example is sound, and the bounds it names are those in force."""

import re
from pathlib import Path

from api.serving.batches.upload import MAX_FILE_BYTES
from api.settings import Settings
from router.applying.file import parse_config
from router.batching.groups import MOST_TRIES, Pace
from router.batching.jsonl import MAX_ERRORS, MAX_LINE_BYTES, MAX_LINES
from router.batching.singles import MOST_TRIES as MOST_SINGLE_TRIES
from router.batching.written import WHY_NOT
from storage.spool.shelf import KEPT_MS, OPEN_BATCHES

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")


def test_the_example_is_a_sound_configuration() -> None:
    """It is what people copy first."""
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    document = parse_config(example[1]).document
    assert document.models["big"].batch
    assert document.tasks["labels"].queue is not None


def test_the_bounds_are_those_in_force() -> None:
    """Whoever plans a night's work relies on them."""
    settings = Settings.model_fields
    assert (MAX_FILE_BYTES, MAX_LINES, MAX_LINE_BYTES, OPEN_BATCHES) == (200_000_000, 50_000, 20_000_000, 20)
    assert (MAX_ERRORS, MOST_TRIES, MOST_SINGLE_TRIES, KEPT_MS) == (100, 5, 50, 30 * 86_400_000)
    assert (settings["batch_spool_mb"].default, settings["batch_poll_s"].default) == (2_000, 30.0)
    assert (Pace().at_once, Pace().settle_s) == (8, 10.0)
    for code in WHY_NOT:
        assert f"`{code}`" in PAGE
