"""Which task a request belongs to: explicit tag, metadata rule, keyword rule, else the default.

Rules are compiled once per snapshot. Among several matching rules the first declared wins; metadata
rules go before keyword rules.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from experiments.definition.names import ancestors
from router.config.document import Match

TaskReason = Literal["explicit", "ancestor", "metadata", "keyword", "default"]
DEFAULT_TASK = "default"
AUTO_MODEL = "auto"
"""Name in place of a model by which a request asks to be classified."""
TEXT_LIMIT = 20_000
"""Characters of a message that keyword rules look at."""


@dataclass(frozen=True, slots=True)
class Found:
    """A task and the kind of rule that named it."""

    task: str
    reason: TaskReason


UNROUTED = Found(DEFAULT_TASK, "default")


class TaskRules:
    """The compiled rules of one configuration."""

    def __init__(self, tasks: Sequence[str], matches: Mapping[str, Match]) -> None:
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

    @property
    def reads_text(self) -> bool:
        """Whether any rule needs the request's text."""
        return bool(self._keywords)

    def find(self, explicit: str | None, metadata: Mapping[str, str], text: str) -> Found:
        """The task of a request; an explicit task that nobody declared falls to its nearest declared parent."""
        if explicit is not None:
            return self._tasks.get(explicit) or self._ancestor(explicit)
        if metadata:
            for wanted, found in self._metadata:
                if all(metadata.get(key) == value for key, value in wanted):
                    return found
        if text and self._keywords:
            for words, found in self._keywords:
                if words.search(text, 0, TEXT_LIMIT):
                    return found
        return UNROUTED

    def _ancestor(self, explicit: str) -> Found:
        for parent in ancestors(explicit)[1:]:
            if parent in self._tasks:
                return Found(parent, "ancestor")
        return UNROUTED


def _words(keywords: Sequence[str]) -> re.Pattern[str]:
    """A pattern for whole words in any case; no word character may stand on either side."""
    escaped = (r"\s+".join(map(re.escape, keyword.split())) for keyword in keywords)
    phrases = sorted(escaped, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)", re.IGNORECASE)
