"""The order of a report in text: what to do comes before the figures that say why."""

from collections.abc import Mapping
from copy import deepcopy

from dashboards.report_page import render_html
from dashboards.report_text import render_text

ORDER = (
    "\nNext step\n", "\nCandidates\n", "\nRules of promotion: ", "\nEffects against ", "\nHealth of the data\n",
    "\nThe plan, frozen at start\n", "\nOther read-outs; nothing of them decides",
)  # fmt: skip


def test_what_to_do_stands_first_and_what_never_decides_stands_last(
    documents: Mapping[str, dict[str, object]],
) -> None:
    """Whoever reads the first screen only must find the verdict and its command there."""
    text = render_text(documents["promote"])
    places = [text.find(heading) for heading in ORDER]
    assert places[0] > text.find("PROMOTE HAIKU") > 0
    assert places == sorted(places)
    assert "pointsman promote" in "\n".join(text.splitlines()[:20])


def test_the_reason_of_an_end_is_said_once(documents: Mapping[str, dict[str, object]]) -> None:
    """A verdict that ended the experiment is its reason; a person's reason stands beside it."""
    ended = deepcopy(documents["roll_back"])
    verdict = ended["verdict"]
    assert isinstance(verdict, dict)
    for because, said in ((verdict["sentence"], 0), ("Budget was cut.", 1)):
        ended["ended_because"] = because
        for text in (render_text(ended), render_html(ended)):
            assert text.count("Why it ended: ") == said
