"""Formats of a report."""

import pytest

from api.admin.pages import preferred


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("text/html", "html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
        ("text/plain", "text"),
        ("text/csv", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("text/html;q=0.2, text/csv;q=0.7", "csv"),
        ("text/html;q=0", "json"),
        ("text/html;q=nonsense, text/plain", "text"),
        ("image/png", "json"),
        (",;,;q=,", "json"),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, form: str) -> None:
    """Browsers, curl and spreadsheets each ask in their own way."""
    assert preferred(accept) == form
