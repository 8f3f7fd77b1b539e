"""The demo's traffic: questions asked through the gateway, answers graded, rewards reported.

It knows nothing of Pointsman but its HTTP API: any OpenAI-compatible client would see the same.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import orjson

from examples.questions import chosen_letter, key_letter, question_text

CONCURRENCY = 64
BATCH = 50
BATCH_S = 0.05
"""Longest time a reward waits for others to be reported with it."""
TIMEOUT_S = 30.0
RATE = 800.0
"""Most questions a second: slow enough to watch, and for shares to move between them."""
_HEADERS = {"content-type": "application/json"}


@dataclass(slots=True)
class SubjectTally:
    """What became of one subject's questions."""

    asked: int = 0
    answered: int = 0
    correct: int = 0
    cost_usd: float = 0.0
    models: Counter[str] = field(default_factory=Counter)
    """Answers by the model that gave them."""


@dataclass
class Tally:
    """What became of all questions and rewards."""

    subjects: dict[str, SubjectTally]
    feedback_sent: int = 0
    feedback_states: Counter[str] = field(default_factory=Counter)
    """Acknowledged rewards by state."""
    failures: Counter[str] = field(default_factory=Counter)
    """Requests that got no answer, by cause."""

    @property
    def asked(self) -> int:
        """Questions sent."""
        return sum(subject.asked for subject in self.subjects.values())

    @property
    def answered(self) -> int:
        """Questions answered."""
        return sum(subject.answered for subject in self.subjects.values())

    @property
    def acknowledged(self) -> int:
        """Rewards that the server made durable."""
        return self.feedback_states.total()


class Traffic:
    """Asks every question once, at most `CONCURRENCY` at a time."""

    def __init__(self, url: str, seed: int, subjects: Sequence[str], requests: int) -> None:
        self.tally = Tally({subject: SubjectTally() for subject in subjects})
        self._url = url
        self._seed = seed
        self._questions = enumerate(_questions(seed, subjects, requests))
        self._begun_s = 0.0
        self._rewards: asyncio.Queue[tuple[str, float] | None] = asyncio.Queue()

    async def run(self) -> None:
        """Ask, grade and report until every reward is acknowledged."""
        self._begun_s = asyncio.get_running_loop().time()
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, headers=_HEADERS) as session,
            asyncio.TaskGroup() as reporting,
        ):
            reporting.create_task(self._report(session))
            async with asyncio.TaskGroup() as asking:
                for _ in range(CONCURRENCY):
                    asking.create_task(self._ask(session))
            await self._rewards.put(None)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        for place, (subject, number) in self._questions:
            await self._turn(place)
            tally = self.tally.subjects[subject]
            tally.asked += 1
            try:
                async with session.post(
                    self._url + "/v1/chat/completions", data=_body(subject, number)
                ) as reply:
                    raw = await reply.read()
                    if reply.status != 200:
                        self.tally.failures[
                            f"status {reply.status}: {raw[:200].decode(errors='replace')}"
                        ] += 1
                        continue
            except (aiohttp.ClientError, TimeoutError) as error:
                self.tally.failures[type(error).__name__] += 1
                continue
            self._grade(tally, subject, number, raw)

    async def _turn(self, place: int) -> None:
        """Wait until it is this question's turn."""
        early_s = self._begun_s + place / RATE - asyncio.get_running_loop().time()
        if early_s > 0:
            await asyncio.sleep(early_s)

    def _grade(self, tally: SubjectTally, subject: str, number: int, raw: bytes) -> None:
        """Count an answer and queue its reward."""
        answer = orjson.loads(raw)
        letter = chosen_letter(answer["choices"][0]["message"]["content"])
        correct = letter == key_letter(self._seed, f"{subject}-{number}")
        tally.answered += 1
        tally.correct += correct
        tally.cost_usd += answer["usage"]["cost"] or 0.0
        tally.models[answer["model"]] += 1
        self._rewards.put_nowait((answer["id"], float(correct)))

    async def _report(self, session: aiohttp.ClientSession) -> None:
        """Post rewards in small groups, soon after the answers they belong to."""
        over = False
        async with asyncio.TaskGroup() as posting:
            while not over:
                batch, over = await self._batch()
                if batch:
                    posting.create_task(self._post(session, batch))

    async def _batch(self) -> tuple[list[tuple[str, float]], bool]:
        """The next rewards, and whether they are the last."""
        first = await self._rewards.get()
        if first is None:
            return [], True
        batch, deadline_s = [first], asyncio.get_running_loop().time() + BATCH_S
        while len(batch) < BATCH:
            try:
                async with asyncio.timeout_at(deadline_s):
                    reward = await self._rewards.get()
            except TimeoutError:
                break
            if reward is None:
                return batch, True
            batch.append(reward)
        return batch, False

    async def _post(self, session: aiohttp.ClientSession, batch: Sequence[tuple[str, float]]) -> None:
        body = orjson.dumps([{"decision_id": decision, "value": value} for decision, value in batch])
        self.tally.feedback_sent += len(batch)
        try:
            async with session.post(self._url + "/v1/feedback", data=body) as reply:
                raw = await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.tally.failures[f"feedback: {type(error).__name__}"] += 1
            return
        if reply.status != 202:
            self.tally.failures[f"feedback: status {reply.status}: {raw[:200].decode(errors='replace')}"] += 1
            return
        self.tally.feedback_states.update(result["state"] for result in orjson.loads(raw)["results"])


def _questions(seed: int, subjects: Sequence[str], requests: int) -> Iterator[tuple[str, int]]:
    """Every (subject, number) once, subjects mixed; the same for the same seed."""
    order = np.random.default_rng(seed).permutation(len(subjects) * requests)
    return ((subjects[place % len(subjects)], place // len(subjects) + 1) for place in order.tolist())


def _body(subject: str, number: int) -> bytes:
    message = {"role": "user", "content": question_text(subject, number)}
    return orjson.dumps({"model": f"task/{subject}", "messages": [message]})
