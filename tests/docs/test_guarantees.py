"""Every guarantee names a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_the_test_behind_a_guarantee_exists(path: str, name: str) -> None:
    """A promise without a test is a wish."""
    assert re.search(
        rf"^    def {name}\(|^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE
    )


def test_each_guarantee_is_in_the_readme_and_has_a_test() -> None:
    """The README's list and the page speak of the same eight."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for number in range(1, 9):
        assert f"| G{number} |" in readme
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| G{number} |")]
        assert re.search(r"`tests/[\w/]+\.py::\w+`", row)
