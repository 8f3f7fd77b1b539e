"""Shares after a declared promotion: the test is over, and its floors with it."""

from experiments.verdict.next_shares import next_shares
from experiments.verdict.progress import Declared
from experiments.verdict.verdict import Kind
from tests.experiments.looks import Arm, Trial, experiment

DEAR, CHEAP = Arm(100, 80, 0.01), Arm(100, 81, 0.001)


def test_a_promotion_that_waits_for_a_person_no_longer_feeds_the_test() -> None:
    """The control keeps a fifth of the traffic while a test needs it; afterwards that is money spent for nothing."""
    trial = Trial(experiment(decision={"promote": "ask"})).epochs_of(30, DEAR, CHEAP)
    waiting = trial.standing()
    before = next_shares(trial.definition, trial.evidence(), waiting, (), 31, trial.now_ms)
    seen = trial.look()
    assert seen.verdict.kind is Kind.PROMOTE
    assert isinstance(trial.progress.declared, Declared)
    after = next_shares(trial.definition, trial.evidence(), trial.standing(), (), 31, trial.now_ms)
    assert before[0] >= 0.2
    assert 0 < after[0] <= 0.02 + 1e-9
    assert abs(sum(after) - 1) < 1e-12


def test_a_dear_control_keeps_less_than_a_cheap_one() -> None:
    """The floor is a share of the spend: what guards against a change must not cost more than the change."""
    kept = []
    for cost in (0.002, 0.2):
        trial = Trial(experiment()).epochs_of(30, Arm(100, 80, cost), CHEAP)
        trial.look()
        kept.append(
            next_shares(trial.definition, trial.evidence(), trial.standing(), (), 31, trial.now_ms)[0]
        )
    assert kept[1] < 0.1 * kept[0]


def test_mode_ab_keeps_its_shares() -> None:
    """Declared shares are the user's."""
    trial = Trial(experiment(mode="ab")).epochs_of(30, DEAR, CHEAP)
    trial.look()
    assert trial.progress.declared is not None
    assert next_shares(trial.definition, trial.evidence(), trial.standing(), (), 31, trial.now_ms) == (
        0.5,
        0.5,
    )
