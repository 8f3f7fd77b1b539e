"""Replay: the real engine on recorded outcomes."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.baselines import best_single, oracle, thrifty_oracle, uniform
from evaluation.recorded import Category, Recording, read_recording
from evaluation.replay import Replayed, Settings, replay
from tests.evaluation.recordings import Rates, rows_of, write

# Two subjects of MMLU-Pro: reward and mean cost of one call as in the table of docs/replay.md.
MATH: Rates = {
    "jamba": (0.322, 3.24e-4), "flash": (0.620, 3.8e-5), "llama": (0.603, 4.14e-4), "command-r": (0.237, 9.3e-5),
}  # fmt: skip
LAW: Rates = {"jamba": (0.440, 7.8e-4), "flash": (0.429, 4.2e-5)}
GSM8K: Rates = {"gpt-4": (0.857, 4.308e-3), "mixtral": (0.638, 9.7e-5)}


def recorded(tmp_path: Path, rates: Rates, prompts: int = 1_200, seed: int = 5) -> Recording:
    """A recording of one category."""
    return read_recording(write(tmp_path / "r.csv.gz", rows_of("subject", prompts, rates, seed)))


def run(recording: Recording, settings: Settings) -> Replayed:
    """Its only category, replayed."""
    return replay(recording.categories[0], recording.models, recording.usd_per_mtok, settings)


def test_every_prompt_is_served_exactly_once() -> None:
    """With equal models whose reward names the prompt, the served mean is the mean of all prompts."""
    reward = np.repeat(np.arange(500)[:, None] / 500, 3, axis=1)
    category = Category("law", tuple(map(str, range(500))), reward, np.ones((500, 3)))
    once = replay(category, ("a", "b", "c"), (1.0, 1.0, 1.0), Settings(("a", "b", "c")))
    assert once.requests == once.report.units == once.report.mature_units == 500
    assert once.reward == pytest.approx(reward.mean(), abs=1e-12)
    assert once.cost_usd == pytest.approx(1.0, abs=1e-12)
    twice = replay(category, ("a", "b", "c"), (1.0, 1.0, 1.0), Settings(("a", "b", "c"), repeat=2))
    assert twice.requests == 1_000
    assert twice.reward == pytest.approx(reward.mean(), abs=1e-12)


def test_the_same_seed_gives_the_same_replay_and_another_seed_another_order(tmp_path: Path) -> None:
    """A figure that cannot be repeated cannot be discussed."""
    recording = recorded(tmp_path, MATH, prompts=400)
    settings = Settings(tuple(MATH))
    first, again = run(recording, settings), run(recording, settings)
    other = run(recording, Settings(tuple(MATH), seed=2))
    assert first == again
    assert (first.served, first.reward) != (other.served, other.reward)


def test_the_bandit_moves_traffic_to_the_better_and_cheaper_model(tmp_path: Path) -> None:
    """The point of the product, on the rates of a real subject: better than uniform at a fraction of its cost."""
    recording = recorded(tmp_path, MATH)
    replayed = run(recording, Settings(tuple(MATH)))
    even = uniform(recording.categories[0])
    assert recording.models[int(np.argmax(replayed.served))] == "flash"
    assert replayed.reward > even.reward + 0.05
    assert replayed.cost_usd < even.cost_usd / 2


def test_a_model_that_is_worse_than_the_margin_is_rolled_back_and_the_control_serves_on(
    tmp_path: Path,
) -> None:
    """The rates of GSM8K: Mixtral costs a fortieth and is .22 worse, which no saving makes up for."""
    replayed = run(recorded(tmp_path, GSM8K), Settings(tuple(GSM8K)))
    assert replayed.report.verdict.kind == "roll_back"
    assert replayed.state == "rolled_back"
    assert replayed.report.units < replayed.requests == 1_200
    assert replayed.served[0] > 700


def test_a_better_model_is_promoted_in_mode_ab(tmp_path: Path) -> None:
    """The same rates the other way round, on reward: the positive case."""
    settings = Settings(tuple(GSM8K)[::-1], mode="ab", objective="reward")
    replayed = run(recorded(tmp_path, GSM8K), settings)
    assert (replayed.report.verdict.kind, replayed.report.verdict.candidate) == ("promote", "gpt-4")


def test_a_tie_is_left_open_with_the_units_that_would_settle_it(tmp_path: Path) -> None:
    """The rates of law: a hundredth apart. A thousand prompts cannot tell, and the verdict must not either."""
    replayed = run(recorded(tmp_path, LAW), Settings(tuple(LAW), mode="ab"))
    assert replayed.report.verdict.kind == "keep_running"
    assert (replayed.report.verdict.units_needed or 0) > 500


@pytest.mark.statistical
def test_equal_models_are_seldom_promoted_for_their_reward(tmp_path: Path) -> None:
    """Under the null at most 5% of replays may promote; 20 replays, bound: P(more than 4) < .003."""
    rates = {"old": (0.6, 1e-3), "new": (0.6, 1e-3)}
    promoted = 0
    for seed in range(20):
        recording = recorded(tmp_path, rates, prompts=400, seed=seed)
        kind = run(recording, Settings(tuple(rates), mode="ab", objective="reward")).report.verdict.kind
        promoted += kind == "promote"
    assert promoted <= 4


def test_a_handful_of_prompts_is_not_ready(tmp_path: Path) -> None:
    """Small categories exist; they get a verdict of their own and no error."""
    replayed = run(recorded(tmp_path, LAW, prompts=3), Settings(tuple(LAW)))
    assert (replayed.requests, replayed.report.verdict.kind) == (3, "not_ready")


def test_models_that_cost_nothing_can_be_replayed() -> None:
    """Self-hosted models are often recorded at no cost; reward per cost is then unknown, not infinite."""
    reward = np.random.default_rng(1).integers(0, 2, (400, 2)).astype(float)
    category = Category("law", tuple(map(str, range(400))), reward, np.zeros((400, 2)))
    replayed = replay(category, ("a", "b"), (0.0, 0.0), Settings(("a", "b")))
    assert replayed.requests == 400
    assert replayed.report.verdict.kind in ("not_ready", "keep_running")


def test_baselines_are_read_off_the_full_matrix() -> None:
    """They are what the served figures stand beside, so they must be exact."""
    reward = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    cost = np.array([[8.0, 2.0, 1.0]] * 4)
    category = Category("law", ("p", "q", "r", "s"), reward, cost)
    models = ("a", "b", "c")
    recording = Recording(models, (category,), (8.0, 2.0, 1.0), 12, (), 0)
    assert best_single(recording) == "a"
    assert uniform(category).reward == 0.75
    assert uniform(category).cost_usd == pytest.approx(11 / 3)
    assert (oracle(category, models).model, oracle(category, models).reward) == ("a", 1.0)
    assert thrifty_oracle(category, models, "a", margin=0.3).model == "c"
    assert thrifty_oracle(category, models, "a", margin=0.05).model == "a"
