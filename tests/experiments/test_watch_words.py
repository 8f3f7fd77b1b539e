"""Words of a watch: a holdback never asks for a promotion, in any verdict that it can come to."""

import pytest

from experiments.definition.names import check_experiment
from experiments.verdict.verdict import Kind
from tests.experiments.looks import Arm, Trial, experiment

OLD = Arm(100, 80)
CHEAPER = Arm(100, 82, cost_usd=0.005)
SAME, WORSE = Arm(100, 80), Arm(100, 50)


def trial(watching: bool, **decision: object) -> Trial:
    """An experiment in mode ab, or the same as a holdback."""
    name = "cheaper~holdback" if watching else "cheaper"
    assert check_experiment(name) == name
    return Trial(experiment(mode="ab", name=name, decision=decision), watching=watching)


def seen(made: Trial) -> tuple[Kind, str]:
    """The verdict's kind and everything that the report says with it."""
    look = made.look()
    report = made.report(look)
    return look.verdict.kind, f"{report.verdict.sentence} {report.verdict.would_change}"


CASES = [
    (Kind.NOT_READY, (CHEAPER, 0), {}, "Not enough data yet"),
    (Kind.KEEP_RUNNING, (SAME, 8), {}, "Keep watching: "),
    (Kind.PROMOTE, (CHEAPER, 40), {}, "cheap holds: its reward is +0.020 against dear"),
    (Kind.ROLL_BACK, (WORSE, 40), {}, "Regression seen, dear is to serve again. cheap: rule not_worse"),
    (Kind.STOP_FUTILE, (SAME, 400), {"mde": 0.05}, "no gain over dear is left to keep: cheap is"),
    (
        Kind.INCONCLUSIVE,
        (SAME, 8),
        {"max_units": 1_000},
        "The 1,000 units of the watch showed no regression of cheap",
    ),
]


@pytest.mark.parametrize(("kind", "traffic", "decision", "words"), CASES)
def test_a_holdback_speaks_of_what_it_watches(
    kind: Kind, traffic: tuple[Arm, int], decision: dict[str, object], words: str
) -> None:
    """Kinds stay for machines; a reader who is told to promote the champion would look for what is wrong."""
    arm, epochs = traffic
    found, said = seen(trial(True, **decision).epochs_of(epochs, OLD, arm))
    assert found is kind
    assert words in said
    assert "promot" not in said.lower()
    plain, usual = seen(trial(False, **decision).epochs_of(epochs, OLD, arm))
    assert plain is kind
    assert kind is Kind.NOT_READY or said != usual


def test_a_doubt_in_a_holdback_offers_the_way_back() -> None:
    """`promote --force` would be refused, or do nothing: the champion serves already."""
    made = trial(True).epochs_of(40, OLD, CHEAPER)
    assert made.look().verdict.kind is Kind.PROMOTE
    made.epochs_of(40, OLD, Arm(100, 82, 0.005, served=80))
    found, said = seen(made)
    assert found is Kind.NEEDS_REVIEW
    assert "earlier champion back by hand" in said
    assert "promot" not in said.lower()
