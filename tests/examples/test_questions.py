"""The simulated models' answers: fixed by seed, right as often and as long as measured."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.figures import read_figures
from examples.questions import LETTERS, Asked, answer, asked, chosen_letter, key_letter, question_text

FIGURES = read_figures()
# Mean reward and cost per 1,000 calls, MMLU-Pro answer files (github.com/TIGER-AI-Lab/MMLU-Pro @ f418b11, Apache-2.0),
# prices of LiteLLM 1.53.1: DeepSeek-Coder-V2, Meta-Llama-3.1-70B-Instruct, gemini-1.5-flash-002, jamba-1.5-large.
TABLE = {
    "computer_science": ((0.688, 0.092), (0.663, 0.333), (0.634, 0.041), (0.546, 0.598)),
    "economics": ((0.746, 0.065), (0.751, 0.239), (0.763, 0.040), (0.663, 0.673)),
    "health": ((0.611, 0.062), (0.685, 0.234), (0.628, 0.036), (0.606, 0.535)),
    "history": ((0.518, 0.076), (0.661, 0.346), (0.592, 0.033), (0.555, 0.882)),
    "law": ((0.349, 0.069), (0.469, 0.391), (0.429, 0.042), (0.440, 0.780)),
    "math": ((0.634, 0.085), (0.603, 0.414), (0.620, 0.038), (0.322, 0.324)),
    "physics": ((0.681, 0.122), (0.591, 0.326), (0.714, 0.071), (0.338, 0.416)),
    "psychology": ((0.721, 0.045), (0.756, 0.194), (0.762, 0.025), (0.730, 0.571)),
}
ORDER = ("DeepSeek-Coder-V2", "Meta-Llama-3.1-70B-Instruct", "gemini-1.5-flash-002", "jamba-1.5-large")


def test_the_shipped_figures_are_those_of_the_published_answers() -> None:
    """Accuracy, lengths and prices must give the table's rewards and costs, cell by cell."""
    assert FIGURES.subjects.keys() == TABLE.keys()
    for subject, cells in TABLE.items():
        for model, (reward, cost) in zip(ORDER, cells, strict=True):
            assert FIGURES.subjects[subject].models[model].accuracy == pytest.approx(reward, abs=5.1e-4)
            assert 1000 * FIGURES.cost_usd(subject, model) == pytest.approx(cost, abs=6e-4)


@pytest.mark.parametrize("model", FIGURES.models)
@pytest.mark.parametrize("subject", ["law", "physics"])
def test_a_model_is_right_and_long_as_measured(subject: str, model: str) -> None:
    """2,000 questions; the bounds are five standard errors."""
    measured, count = FIGURES.subjects[subject].models[model], 2_000
    right, tokens = 0, 0
    for number in range(count):
        question = Asked(f"{subject}-{number}", subject)
        said = answer(7, question, model, FIGURES.subjects[subject])
        right += chosen_letter(said.text) == key_letter(7, question.id)
        tokens += said.output_tokens
    spread = sqrt(measured.accuracy * (1 - measured.accuracy) / count)
    assert right / count == pytest.approx(measured.accuracy, abs=5 * spread)
    assert tokens / count == pytest.approx(measured.output_tokens, rel=5 * 0.55 / sqrt(count))


@given(st.integers(0, 2**63 - 1), st.sampled_from(sorted(FIGURES.subjects)), st.integers(0, 10**8))
def test_an_answer_follows_from_seed_question_and_model(seed: int, subject: str, number: int) -> None:
    """Asking twice gives the same answer; the question survives the way through a prompt."""
    question = asked(question_text(subject, number))
    assert question == Asked(f"{subject}-{number}", subject)
    assert question is not None
    first = answer(seed, question, "jamba-1.5-large", FIGURES.subjects[subject])
    assert first == answer(seed, question, "jamba-1.5-large", FIGURES.subjects[subject])
    assert (chosen_letter(first.text) or "none") in LETTERS
    assert key_letter(seed, question.id) in LETTERS
    assert first.input_tokens >= 1
    assert first.output_tokens >= 1


def test_another_seed_gives_other_keys() -> None:
    """Otherwise every demo would be the same demo."""
    keys = [[key_letter(seed, f"law-{number}") for number in range(200)] for seed in (1, 2)]
    same = sum(left == right for left, right in zip(*keys, strict=True))
    assert same < 60


def test_text_without_a_question_or_a_letter_is_recognised() -> None:
    """A client's own prompt must get an error, not an answer to nothing."""
    assert asked("Tell me a joke") is None
    assert chosen_letter("I do not know.") is None
    assert chosen_letter("The answer is (C). Or is it?") is None
