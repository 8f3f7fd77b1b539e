"""Servers that the configuration names: asked before a choice, replaced when others are named.

A classifier is asked for the task of a text, a policy for one of its models. What is named nowhere loads nothing and
starts nothing.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from router.classifying.guess import Guess
from router.clock import Clock
from router.config.classifier import Classifier
from router.config.document import Document
from router.config.policy import Ask, Policy
from router.deciding.choose import RouteRequest
from router.deciding.place import Located, concerned, locate, question_of, ruled_task
from router.deciding.policy import NO_ANSWERS, Answers
from router.deciding.snapshot import Snapshot

if TYPE_CHECKING:
    from router.classifying.asked import AskedClassifier
    from router.deciding.asked_policy import AskedPolicy

DEADLINE_MS, CACHE = 50, 10_000


class Asking:
    """Guesses and answers for the requests that need one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settings: Classifier | None = None
        self._server: AskedClassifier | None = None
        self._stated: Mapping[str, Policy] = {}
        self._policies: dict[str, AskedPolicy] = {}
        self._unusable = 0

    @property
    def unusable(self) -> int:
        """Replies of policies that were no answer."""
        return self._unusable + sum(each.server.unusable for each in self._policies.values())

    def follow(self, document: Document) -> None:
        """Ask the servers that the configuration names now, if any."""
        self._follow_classifier(document.classifier)
        self._follow_policies({name: each for name, each in document.policies.items() if each.ask})

    def guess(self, snapshot: Snapshot, request: RouteRequest) -> Guess | None:
        """What the classifier takes the text for, if it has to be asked and answers in time."""
        server = self._server
        return server.guess(request.text) if server is not None and _open(snapshot, request) else None

    async def guess_async(self, snapshot: Snapshot, request: RouteRequest) -> Guess | None:
        """The same for an event loop."""
        server = self._server
        return (
            await server.guess_async(request.text)
            if server is not None and _open(snapshot, request)
            else None
        )

    def answers(self, snapshot: Snapshot, request: RouteRequest, guess: Guess | None) -> Answers:
        """What policies answer that the decision may need: all are asked at once, each has its own deadline."""
        at = locate(snapshot, request, guess)
        question, began_s = question_of(at), time.monotonic()
        asked = {name: (policy, policy.begin(question)) for name, policy in self._concerned(snapshot, at)}
        answers = {
            name: policy.server.wait(begun, max(0.0, began_s + policy.server.deadline_s - time.monotonic()))
            for name, (policy, begun) in asked.items()
        }
        return {name: answer for name, answer in answers.items() if answer is not None}

    async def answers_async(self, snapshot: Snapshot, request: RouteRequest, guess: Guess | None) -> Answers:
        """The same for an event loop."""
        at = locate(snapshot, request, guess)
        asked = self._concerned(snapshot, at)
        if not asked:
            return NO_ANSWERS
        question = question_of(at)
        answers = await asyncio.gather(*(policy.answer_async(question) for _, policy in asked))
        return {name: answer for (name, _), answer in zip(asked, answers, strict=True) if answer is not None}

    def close(self) -> None:
        """End the asking."""
        self._follow_classifier(None)
        self._follow_policies({})

    def _concerned(self, snapshot: Snapshot, at: Located) -> "list[tuple[str, AskedPolicy]]":
        """The policies to ask about a request."""
        policies = self._policies  # another thread may replace them meanwhile
        return [(name, policies[name]) for name in concerned(snapshot, at) if name in policies]

    def _follow_classifier(self, settings: Classifier | None) -> None:
        if settings == self._settings:
            return
        before, self._settings = self._server, settings
        self._server = (
            None if settings is None or settings.url is None else self._made(settings, settings.url)
        )
        if before is not None:
            before.close()

    def _follow_policies(self, stated: Mapping[str, Policy]) -> None:
        if stated == self._stated:
            return
        before, known = self._policies, self._stated
        self._policies = {
            name: before[name] if known.get(name) == each else self._policy(name, each, each.ask)
            for name, each in stated.items()
            if each.ask is not None
        }
        self._stated = stated
        for name, policy in before.items():
            if self._policies.get(name) is not policy:
                self._unusable += policy.server.unusable
                policy.server.close()

    def _made(self, settings: Classifier, url: str) -> "AskedClassifier":
        from router.classifying.asked import AskedClassifier

        deadline_ms = DEADLINE_MS if settings.deadline_ms is None else settings.deadline_ms
        return AskedClassifier(
            url, deadline_ms, CACHE if settings.cache is None else settings.cache, self._clock
        )

    def _policy(self, name: str, settings: Policy, ask: Ask) -> "AskedPolicy":
        from router.deciding.asked_policy import AskedPolicy

        return AskedPolicy(name, settings.chooses, ask, self._clock)


def asked_once(snapshot: Snapshot, request: RouteRequest, clock: Clock) -> Answers:
    """What policies answer to a single request, by connections of its own."""
    asking = Asking(clock)
    asking.follow(snapshot.document)
    try:
        return asking.answers(snapshot, request, None)
    finally:
        asking.close()


def _open(snapshot: Snapshot, request: RouteRequest) -> bool:
    """Whether neither the caller nor a rule names the task or the model."""
    return request.override is None and snapshot.rules.needs_guess(
        request.task or ruled_task(snapshot, request), request.metadata, request.text
    )
