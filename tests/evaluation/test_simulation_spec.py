"""Specification files: every problem at its line, nothing that the world cannot bring about."""

from pathlib import Path

import pytest

from evaluation.simulation.spec import MOST_REQUESTS
from evaluation.simulation.spec_file import parse_spec, read_spec
from router.errors import ConfigInvalid

ROOT = Path(__file__).parents[2]
GOOD = """\
seed: 1
requests_per_day: 1000
days: 2
environment:
  rates: [0.7, 0.7]
  shapes:
    - {kind: sine, size: 0.1}
experiment:
  candidates: [a, b]
"""


def problems(text: str) -> list[str]:
    """What is said about a text."""
    with pytest.raises(ConfigInvalid) as caught:
        parse_spec(text, "spec.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_the_example_is_valid_and_an_experiment_needs_no_name() -> None:
    """People start from it."""
    assert read_spec(ROOT / "examples" / "simulation.yaml").experiment.candidates == (
        "sonnet",
        "haiku",
        "flash",
    )
    found = parse_spec(GOOD)
    assert (found.experiment.name, found.experiment.task, found.requests) == ("simulated", "simulated", 2_000)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("days: 2", "days: -2", "spec.yaml:3:7: days: must be greater than 0, not -2"),
        ("days: 2", "day: 2", "spec.yaml:3:1: day: unknown field 'day'; did you mean 'days'?"),
        ("seed: 1\n", "", "spec.yaml:1:1: seed: is missing: from which everything random follows"),
        ("[0.7, 0.7]", "[0.7, 1.7]", "spec.yaml:5:16: environment.rates[1]: must be at most 1, not 1.7"),
        ("[0.7, 0.7]", "[0.7, 0.7, 0.7]", "3 rates and the experiment 2 candidates"),
        ("kind: sine", "kind: saw", "spec.yaml:7:14: environment.shapes[0].kind: must be 'ramp', 'sine' or 'step'"),
        ("size: 0.1", "size: 0.1, start: 0.8, end: 0.2", "spec.yaml:7:"),
        ("size: 0.1", "size: 0.1, arms: [2]", "shapes and delays name arms [2], there are 0 to 1"),
        ("size: 0.1", "size: .nan", "must be a finite number"),
        ("candidates: [a, b]", "candidates: [a]", "must have at least 2 item(s), has 1"),
        ("candidates: [a, b]", "candidates: [a, b]\n  mode: best", "spec.yaml:10:9: experiment.mode: "),
        ("requests_per_day: 1000", "requests_per_day: 1", "must be 100 to"),
        ("requests_per_day: 1000", f"requests_per_day: {MOST_REQUESTS}", "must be 100 to 2,000,000 in one run"),
        ("days: 2", "days: 2\nlook_every: 5ms", "must be at least 1s"),
        (
            "candidates: [a, b]", "candidates: [a, b]\n  guardrails: [{metric: latency_p95_ms, max_ratio: 1.5}]",
            "no environment draws",
        ),
        ("seed: 1", "seed: 1\nseed: 2", "stands twice"),
        ("seed: 1", "seed: &a [*a]", "contains itself"),
        ("seed: 1", "seed: !!python/object:os.system 1", "are not taken"),
        (GOOD, "  ", "the file is empty"),
        (GOOD, "- a\n- b\n", "must be a mapping of fields"),
    ],
)  # fmt: skip
def test_a_problem_is_named_with_its_line_and_its_remedy(old: str, new: str, said: str) -> None:
    """As for configuration files: whoever wrote it must find it."""
    assert old in GOOD
    found = problems(GOOD.replace(old, new))
    assert any(said in each for each in found), found
    assert all(each.startswith("spec.yaml:") for each in found)


def test_all_problems_are_told_at_once() -> None:
    """Nobody wants to learn of them one by one."""
    assert len(problems(GOOD.replace("days: 2", "days: 0").replace("0.7, 0.7", "7, 0.7"))) == 2


def test_a_hostile_file_is_refused_in_bounds(tmp_path: Path) -> None:
    """Aliases that expand, bytes that are no text, files that are too large."""
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
    )
    assert "after aliases are expanded" in problems(bomb)[0]
    file = tmp_path / "spec.yaml"
    for content, said in ((b"\xff\xfe\x00", "not UTF-8"), (b"#" * 1_100_000, "larger than")):
        file.write_bytes(content)
        with pytest.raises(ConfigInvalid, match=said):
            read_spec(file)
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_spec(tmp_path / "absent.yaml")
