"""Batches from their file to their answers, over real upstreams that speak either batch API."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from experiments.definition.experiment import Experiment
from router.recording.feedback import FeedbackItem
from router.recording.recorder import Recorder
from router.steering.control import Control
from storage.records import UNTIMED_MS, FeedbackState
from tests.router.batching.works import CREATE, DIALECTS, answering, run_until, said, works_of
from tests.servers.batch_upstream import BatchUpstream, completion
from tests.servers.batching import Works, question

BATCH_PRICE = (100 * 10 + 20 * 30) / 2 / 1e6
SINGLE_PRICE = (100 * 1 + 20 * 2) / 1e6


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_line_is_answered_recorded_and_paid_once(
    upstream: BatchUpstream, tmp_path: Path, opened: list[Works], dialect: str
) -> None:
    """Those of a model with a batch API at its price, in one upstream batch; the others one by one."""
    works = works_of(upstream, tmp_path, opened, dialect)
    batch_id = works.submit([question(place, "auto" if place % 2 else "task/quick") for place in range(8)])
    batch = works.finish(batch_id, upstream.finish)
    assert (batch.status, batch.total, batch.completed, batch.failed) == ("completed", 8, 8, 0)
    lines = works.lines_of(batch.output_file_id)
    assert [line["custom_id"] for line in lines] == [f"line-{place}" for place in range(8)]
    assert said(lines) == [f"answer to question {place}" for place in range(8)]
    assert batch.error_file_id is None
    assert len(upstream.batches) == 1
    assert len(upstream.chats) == 4
    bodies = [line["response"]["body"] for line in lines]
    assert [body["model"] for body in bodies] == ["small", "big"] * 4
    assert [body["usage"]["cost"] for body in bodies] == pytest.approx([SINGLE_PRICE, BATCH_PRICE] * 4)
    decisions, calls = works.rows("decisions"), works.rows("calls")
    assert len(decisions) == len(calls) == 8
    assert sum(call["cost_usd"] for call in calls) == pytest.approx(4 * (SINGLE_PRICE + BATCH_PRICE))
    batched = [call for call in calls if call["served_model"] == "big"]
    assert {call["latency_ms"] for call in batched} == {UNTIMED_MS}
    assert [step[1] for step in json.loads(str(batched[0]["trail"]))] == ["batch", "served"]


def test_a_line_takes_part_in_experiments_and_takes_feedback(works: Works, upstream: BatchUpstream) -> None:
    """By its user, under the shares; the answer's id is what feedback names. No latency is counted for it."""
    definition = Experiment(
        name="cheaper", task="support", candidates=("big", "small"), unit="user", mode="ab"
    )
    control = Control(works.store, lambda: works.now_ms)
    control.create(definition, "test")
    control.start("cheaper", "test")
    batch_id = works.submit([question(place, "task/support", user=f"user {place}") for place in range(40)])
    batch = works.finish(batch_id, upstream.finish)
    lines = works.lines_of(batch.output_file_id)
    decisions = works.rows("decisions")
    (experiment_id,) = {row["experiment_id"] for row in decisions}
    assert {row["propensity"] for row in decisions} == {0.5}
    models = Counter(row["model"] for row in decisions)
    assert min(models["big"], models["small"]) > 8
    ids = [line["response"]["body"]["id"] for line in lines]

    async def feedback(crew: Any) -> list[FeedbackState]:
        crew.engine.recorder = Recorder(works.store, crew.engine.clock)
        replies = await crew.engine.give_feedback_async(
            [FeedbackItem(decision_id=each, value=1.0) for each in ids]
        )
        return [reply.state for reply in replies]

    assert works.run(feedback) == [FeedbackState.APPLIED] * 40
    (cells,) = [[cell for cell in works.store.cells(int(str(experiment_id))) if cell.counts[0]]]
    timed = {cell.arm: sum(cell.latency.values()) for cell in cells}
    assert timed.get(0, 0) == 0
    assert timed[1] == models["small"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("crash", [False, True])
def test_a_batch_that_was_made_without_an_answer_is_found_and_not_made_again(
    upstream: BatchUpstream, tmp_path: Path, opened: list[Works], dialect: str, crash: bool
) -> None:
    """The connection is cut when the upstream has done it; another batch stands before it in the list."""
    works = works_of(upstream, tmp_path, opened, dialect)
    upstream.faults.append(("POST", CREATE[dialect], 0))
    batch_id = works.submit([question(place) for place in range(3)])

    def made(*_: object) -> bool:
        if upstream.batches and len(upstream.batches) == 1:
            for lines in (1, 3):  # batches of somebody else, the second of which looks like ours
                upstream._make(
                    [{"custom_id": f"x{place}", "body": {}, "_said": "foreign"} for place in range(lines)]
                )
            upstream.answer = lambda body: completion(body) if "messages" in body else (200, {})
        return bool(upstream.batches)

    if crash:
        run_until(works, made)
    batch = works.finish(batch_id, lambda: made() and (answering(upstream, dialect), upstream.finish()))
    assert batch.status == "completed"
    assert sorted(each for each in upstream.sent if each != "foreign") == [
        "question 0",
        "question 1",
        "question 2",
    ]
    assert upstream.chats == []
    assert said(works.lines_of(batch.output_file_id)) == [f"answer to question {place}" for place in range(3)]


def test_results_that_nobody_asked_for_change_nothing(works: Works, upstream: BatchUpstream) -> None:
    """Foreign ids, broken lines and repeated ones: an upstream's file is input like any other."""
    batch_id = works.submit([question(0)])

    def finish() -> None:
        upstream.finish()
        for name, content in upstream.files.items():
            if b'"response"' in content and b"strange" not in content:
                strange = [
                    b"no json",
                    b"[]",
                    b'{"custom_id": 7}',
                    b'{"custom_id": "strange-1", "response": {}}',
                ]
                upstream.files[name] = b"\n".join([*strange, content.strip(), content.strip()]) + b"\n"

    batch = works.finish(batch_id, finish)
    assert (batch.completed, batch.failed) == (1, 0)
    assert len(works.lines_of(batch.output_file_id)) == 1
