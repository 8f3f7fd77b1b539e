"""docs/availability.md: its example is sound, and it names what can be stated and what is counted."""

import re
from pathlib import Path
from typing import get_args

from router.applying.file import parse_config
from router.availability.fleet import Kind
from router.config.availability import Balance, Cause, Usual

PAGE = (Path(__file__).parents[2] / "docs" / "availability.md").read_text(encoding="utf-8")


def test_the_example_is_a_sound_configuration() -> None:
    """It is what people copy first."""
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    document = parse_config(example[1]).document
    assert [site.region for site in document.models["big"].deployments] == ["eu", "us"]
    assert document.models["big"].base_url == "https://eu.example.com/v1"


def test_every_balance_cause_and_counter_is_explained() -> None:
    """A word that the schema takes or the metrics show must be found on the page."""
    for word in (*get_args(Balance), *get_args(Cause), *get_args(Kind), *get_args(Usual)):
        assert f"`{word}`" in PAGE, word
