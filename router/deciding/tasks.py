"""Which task a request belongs to: explicit tag, metadata rule, keyword rule, classifier, else the default.

Rules are compiled once per snapshot. Among several matching rules the first declared wins; metadata
rules go before keyword rules.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from experiments.definition.names import ancestors
from router.classifying.guess import OUT_OF_SCOPE, Guess
from router.classifying.scripts import MARKS, SPACED_LETTER, UNSPACED, folded
from router.config.task import Match

TaskReason = Literal[
    "explicit",
    "routed",
    "ancestor",
    "metadata",
    "keyword",
    "classified",
    "unsure",
    "out_of_scope",
    "unavailable",
    "default",
]
UNROUTED: Mapping[TaskReason, str] = {
    "default": "no rule names a task",
    "unsure": "the classifier is not sure enough of any task",
    "out_of_scope": "the classifier takes the text for none of the tasks",
    "unavailable": "the classifier gave no answer in time",
}
"""Why the default serves, by reason."""
DEFAULT_TASK = OUT_OF_SCOPE
AUTO_MODEL = "auto"
"""Name in place of a model by which a request asks to be classified."""
TEXT_LIMIT = 20_000
"""Characters of a message that keyword rules look at."""


@dataclass(frozen=True, slots=True)
class Found:
    """A task, and what named it."""

    task: str
    reason: TaskReason
    label: str = ""
    """What the ledger keeps of a classifier's word: reason, band of confidence, which classifier."""
    confidence: float | None = None


class Judge(Protocol):
    """What a classifier's word is worth (router.deciding.classified)."""

    def find(self, text: str, guess: Guess | None) -> Found:
        """The task of a text that no rule knows; `guess` is what a classifier elsewhere said of it."""


class TaskRules:
    """The compiled rules of one configuration."""

    def __init__(
        self,
        tasks: Sequence[str],
        matches: Mapping[str, Match],
        judge: Judge | None = None,
        asks: bool = False,
    ) -> None:
        """`asks` says that the judge needs the guess of a classifier elsewhere."""
        self._tasks = {task: Found(task, "explicit") for task in tasks}
        self._metadata = [
            (tuple(match.metadata.items()), Found(task, "metadata"))
            for task, match in matches.items()
            if match.metadata
        ]
        self._keywords = [
            (_words(match.keywords), Found(task, "keyword"))
            for task, match in matches.items()
            if match.keywords
        ]
        self._judge = judge
        self._asks = asks

    @property
    def reads_text(self) -> bool:
        """Whether anything here needs the request's text."""
        return bool(self._keywords) or self._judge is not None

    def needs_guess(self, explicit: str | None, metadata: Mapping[str, str], text: str) -> bool:
        """Whether a classifier elsewhere must be asked before `find` can tell."""
        return (
            self._asks and explicit is None and bool(text.strip()) and self._by_rule(metadata, text) is None
        )

    def find(
        self,
        explicit: str | None,
        metadata: Mapping[str, str],
        text: str,
        guess: Guess | None = None,
        classify: bool = True,
    ) -> Found:
        """The task of a request; an explicit task that nobody declared falls to its nearest declared parent.

        Without `classify` no classifier has a say, as where the caller has named the model already.
        """
        if explicit is not None:
            return self._tasks.get(explicit) or nearest(explicit, self._tasks) or NO_RULE
        found = self._by_rule(metadata, text)
        if found is not None:
            return found
        if self._judge is None or not classify or not text or text.isspace():
            return NO_RULE
        return self._judge.find(text, guess)

    def _by_rule(self, metadata: Mapping[str, str], text: str) -> Found | None:
        if metadata:
            for wanted, found in self._metadata:
                if all(metadata.get(key) == value for key, value in wanted):
                    return found
        if text and self._keywords:
            read = folded(text[:TEXT_LIMIT])
            for words, found in self._keywords:
                if words.search(read):
                    return found
        return None


NO_RULE = Found(DEFAULT_TASK, "default")


def nearest(task: str, declared: Mapping[str, Found]) -> Found | None:
    """The nearest declared parent of a task."""
    for parent in ancestors(task)[1:]:
        if parent in declared:
            return Found(parent, "ancestor")
    return None


_WRITTEN_TOGETHER = re.compile(f"[{UNSPACED}]")
_BEGINS, _ENDS = f"(?<!{SPACED_LETTER})(?<![{MARKS}])", f"(?!{SPACED_LETTER})(?![{MARKS}])"


def _words(keywords: Sequence[str]) -> re.Pattern[str]:
    """A pattern for whole words in any case.

    No letter may stand on either side, unless the keyword's own end is of a script that writes words together:
    there a keyword is found wherever it stands.
    """
    phrases = sorted((_phrase(folded(keyword)) for keyword in keywords), key=len, reverse=True)
    return re.compile("|".join(phrases))


def _phrase(keyword: str) -> str:
    words = r"\s+".join(map(re.escape, keyword.split()))
    begins = "" if _WRITTEN_TOGETHER.match(keyword[0]) else _BEGINS
    ends = "" if _WRITTEN_TOGETHER.match(keyword[-1]) else _ENDS
    return f"{begins}{words}{ends}"
