"""Brier score and expected calibration error from additive sums, against their definitions on the rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.definition.experiment import Experiment
from experiments.evidence.epochs import Epoch
from experiments.evidence.evidence import Evidence, gather
from experiments.evidence.units import UnitRow
from experiments.report.calibration import calibration
from storage.recount import recounted

DEFINITION = Experiment(name="x", task="t", candidates=("a", "policy"))
SAID = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(1, 3)), min_size=1, max_size=60)


def evidence(said: list[tuple[float, bool, int]]) -> Evidence:
    """Requests of the policy with (prediction, success, epoch)."""
    rows = [
        UnitRow(
            1, number.to_bytes(16), epoch, 1, 0, requests=1, rated=1, reward=float(success),
            metrics={"predicted": (1, predicted)},
        )
        for number, (predicted, success, epoch) in enumerate(said)
    ]  # fmt: skip
    epochs = [Epoch(1, number, number, (0.5, 0.5)) for number in (1, 2, 3)]
    return gather(epochs, recounted(rows, DEFINITION), 2)


@given(SAID)
def test_the_scores_are_those_of_the_rows(said: list[tuple[float, bool, int]]) -> None:
    """Law: sums by bin and epoch lose nothing that the two scores need."""
    found = calibration(evidence(said), 1)
    assert found is not None
    p, y = np.array([each[0] for each in said]), np.array([float(each[1]) for each in said])
    bins = np.minimum((p * 10).astype(int), 9)
    gaps = [abs((y - p)[bins == each].sum()) for each in range(10)]
    assert found.brier_score == pytest.approx(np.mean((p - y) ** 2), abs=1e-12)
    assert found.expected_calibration_error == pytest.approx(sum(gaps) / len(said), abs=1e-12)
    assert (found.requests, found.success_rate) == (len(said), pytest.approx(y.mean()))
    assert found.mean_predicted == pytest.approx(p.mean())


def test_known_answers() -> None:
    """Perfect, useless and overconfident predictions, by hand."""
    perfect = calibration(evidence([(1.0, True, 1), (0.0, False, 1)]), 1)
    assert perfect is not None
    assert (perfect.brier_score, perfect.expected_calibration_error) == (0, 0)
    useless = calibration(evidence([(0.5, True, 1), (0.5, False, 2)]), 1)
    assert useless is not None
    assert (useless.brier_score, useless.expected_calibration_error) == (0.25, 0)
    bold = calibration(evidence([(0.75, True, 1), (0.75, False, 1), (0.25, False, 1), (0.25, False, 3)]), 1)
    assert bold is not None
    assert bold.brier_score == (0.25**2 + 0.75**2 + 2 * 0.25**2) / 4
    assert bold.expected_calibration_error == 0.25
    assert "it predicted 50.0% success on average and 25.0% of 4 requests succeeded" in bold.sentence


def test_who_predicts_nothing_is_not_judged() -> None:
    """A model has no calibration, and neither has a policy before its first reward."""
    made = evidence([(0.5, True, 1)])
    assert calibration(made, 0) is None
    assert calibration(gather([], [], 2), 1) is None
