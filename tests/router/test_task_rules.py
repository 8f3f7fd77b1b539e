"""Task rules: explicit, metadata, keyword, else the default."""

import pytest

from router.config.document import Match
from router.deciding.tasks import TaskRules

RULES = TaskRules(
    ("support", "support/billing", "code", "greek"),
    {
        "support/billing": Match(
            metadata={"queue": "billing", "lang": "en"}, keywords=("invoice", "late fee")
        ),
        "code": Match(keywords=("C++", "def")),
        "greek": Match(keywords=("τιμή", "straße")),
    },
)


@pytest.mark.parametrize(
    ("explicit", "metadata", "text", "task", "reason"),
    [
        ("code", {"queue": "billing", "lang": "en"}, "my invoice", "code", "explicit"),
        ("support/refund/late", {}, "", "support", "ancestor"),
        ("nobody", {}, "my invoice", "default", "default"),
        (None, {"queue": "billing", "lang": "en"}, "def f()", "support/billing", "metadata"),
        (None, {"queue": "billing"}, "", "default", "default"),
        (None, {}, "Where is my INVOICE?", "support/billing", "keyword"),
        (None, {}, "a late\n fee, again", "support/billing", "keyword"),
        (None, {}, "invoices and prefinvoice", "default", "default"),
        (None, {}, "write it in C++ please", "code", "keyword"),
        (None, {}, "undefined", "default", "default"),
        (None, {}, "Πόση ΤΙΜΉ έχει;", "greek", "keyword"),
        (None, {}, "", "default", "default"),
    ],
)
def test_the_first_rule_that_matches_names_the_task(
    explicit: str | None, metadata: dict[str, str], text: str, task: str, reason: str
) -> None:
    """The order is a promise: explicit, metadata, keywords as whole words in any case, the default."""
    found = RULES.find(explicit, metadata, text)
    assert (found.task, found.reason) == (task, reason)


def test_a_huge_text_is_searched_only_at_its_start() -> None:
    """A prompt of megabytes must not hold a worker."""
    assert RULES.find(None, {}, "x " * 100_000 + "invoice").task == "default"
