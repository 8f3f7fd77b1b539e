"""The page of features: every line leads to words and to a test that are there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [line for line in (DOCS / "features.md").read_text(encoding="utf-8").splitlines() if "::" in line]


def anchors(page: str) -> set[str]:
    """Headings of a page as links name them."""
    titles = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_a_feature_is_described_and_has_a_test(row: str) -> None:
    """A feature that nobody can look up, or that nothing holds in place, is a rumour."""
    _, what, described, shown, _ = row.split("|")
    assert what.strip()
    ((page, anchor),) = re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", described)
    assert not anchor or anchor in anchors(page)
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
    assert named
    for path, name in named:
        code = (DOCS.parent / path).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {name}\(", code, re.MULTILINE), f"{path} has no {name}"
