"""Next steps: the right command for each state, safe to paste."""

import shlex
from collections.abc import Mapping

import pytest

from dashboards.next_steps import next_steps
from experiments.report.document import Report
from tests.dashboards.conftest import Document


def commands(document: Document) -> list[list[str]]:
    """Words of the commands, as a shell would read them."""
    return [shlex.split(step.command) for step in next_steps(Report.model_validate(document))]


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("promote", ["pointsman", "promote", "billing-cheaper", "haiku", "--why", "your reason"]),
        ("keep_running", ["pointsman", "report", "billing-cheaper"]),
        ("not_ready", ["pointsman", "report", "billing-cheaper"]),
        ("roll_back", ["pointsman", "stop", "billing-cheaper", "--why", "your reason"]),
        ("stop_futile", ["pointsman", "stop", "billing-cheaper", "--why", "your reason"]),
        ("inconclusive", ["pointsman", "stop", "billing-cheaper", "--why", "your reason"]),
        ("unhealthy", ["pointsman", "stop", "billing-cheaper", "--why", "your reason"]),
        ("needs_review", ["pointsman", "stop", "billing-cheaper", "--why", "your reason"]),
    ],
)
def test_the_first_step_follows_the_verdict(
    kind: str, first: list[str], documents: Mapping[str, Document]
) -> None:
    """Promotion is offered first exactly where the evidence supports it."""
    assert commands(documents[kind])[0] == first


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("draft", "start"),
        ("promoted", "rollback"),
        ("rolled_back", "experiments"),
        ("stopped", "experiments"),
    ],
)
def test_an_experiment_that_does_not_run_offers_what_its_state_allows(
    state: str, word: str, documents: Mapping[str, Document]
) -> None:
    """A command that is bound to be refused helps nobody."""
    assert [line[1] for line in commands({**documents["promote"], "state": state})] == [word]


def test_a_paused_experiment_can_be_resumed(documents: Mapping[str, Document]) -> None:
    """Its verdict still stands, and so does the way back."""
    lines = commands({**documents["promote"], "state": "paused"})
    assert [line[1] for line in lines] == ["promote", "stop", "start"]


def test_a_holdback_that_shows_harm_is_rolled_back(documents: Mapping[str, Document]) -> None:
    """There the control is the old champion: ending the experiment alone would leave the harm in place."""
    watching = {**documents["roll_back"], "experiment": "billing-cheaper~holdback"}
    assert commands(watching)[0][:3] == ["pointsman", "rollback", "support/billing"]


def test_promotion_against_the_evidence_says_so(documents: Mapping[str, Document]) -> None:
    """`--force` is a person's decision and stays in the audit record."""
    assert "--force" in commands(documents["needs_review"])[1]
    assert not [
        line
        for kind, one in documents.items()
        if kind != "needs_review"
        for line in commands(one)
        if "--force" in line
    ]


@pytest.mark.parametrize("name", ["$(reboot)", "a; rm -rf /", "`id`", "it's", "two words", "-x"])
def test_names_reach_the_shell_as_one_word(name: str, documents: Mapping[str, Document]) -> None:
    """Commands are made to be pasted."""
    for document in documents.values():
        for line in commands({**document, "experiment": name}):
            if line[1] in ("promote", "stop", "report"):
                assert line[2] == name
