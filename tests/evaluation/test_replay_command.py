"""The replay command: what it prints, and its exit codes."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evaluation.replay_command import run
from tests.evaluation.recordings import rows_of, write

RATES = {"dear": (0.6, 1e-3), "cheap": (0.6, 1e-4), "poor": (0.2, 5e-5)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recording of two categories and three models."""
    rows = [*rows_of("law", 250, RATES), *rows_of("world history", 150, RATES, seed=6)]
    return write(tmp_path / "outcomes.csv.gz", rows)


def called(file: Path, **options: Any) -> tuple[int, str, str]:  # reason: the command's own keywords
    """Exit code, standard output and standard error."""
    out, err = Console(file=io.StringIO(), width=140), Console(file=io.StringIO(), width=140)
    code = run(file, out=out, err=err, **options)
    assert isinstance(out.file, io.StringIO)
    assert isinstance(err.file, io.StringIO)
    return code, out.file.getvalue(), err.file.getvalue()


def test_json_carries_the_figures_of_every_category(file: Path) -> None:
    """Scripts read this; nothing but the document may stand on standard output."""
    code, out, _ = called(file, output="json")
    document = json.loads(out)
    assert code == 0
    assert [part["category"] for part in document["categories"]] == ["law", "world history"]
    for part in document["categories"]:
        wanted = {
            "verdict",
            "leader",
            "reward",
            "cost_usd",
            "uniform_reward",
            "oracle_reward",
            "units",
            "needed",
        }
        assert wanted <= part.keys()
        assert sum(part["served"].values()) == part["requests"] == part["prompts"]
        assert part["oracle_reward"] >= part["single_reward"]
    assert document["overall"]["requests"] == 400
    assert len(document["paired_offline"]) == 2


def test_the_dearest_model_is_the_control_unless_one_is_named(file: Path) -> None:
    """An experiment asks whether the dear one can be replaced; the output says which was chosen and why."""
    _, out, _ = called(file)
    assert "Control: dear (the dearest by mean cost); candidates: cheap, poor" in out
    _, out, _ = called(file, control="cheap", candidates=["poor"])
    assert "Control: cheap (as named); candidates: poor" in out


def test_text_shows_verdicts_and_keeps_paired_figures_apart(file: Path) -> None:
    """Paired figures look at everything at once, so they stand under a heading that says they are no verdict."""
    _, out, err = called(file, categories=["law"])
    verdicts, apart = out.split("Paired figures over the full matrix: no verdict")
    assert "law: " in verdicts
    assert "McNemar" not in verdicts
    assert "McNemar" in apart
    assert "verdict" not in apart
    assert "world history" not in out
    assert "law: 250 served" in err


def test_repeats_are_called_no_new_evidence(file: Path) -> None:
    """Counting the same outcomes twice makes any p smaller than it is."""
    warning = "Repeats are not new evidence"
    assert warning not in called(file, categories=["law"])[1]
    _, out, _ = called(file, categories=["law"], repeat=2)
    assert warning in out
    assert "served 2 times" in out


def test_a_terminal_gets_a_progress_bar(file: Path) -> None:
    """A long replay must show that it moves."""
    err = Console(file=io.StringIO(), force_terminal=True, width=100)
    run(file, categories=["law"], out=Console(file=io.StringIO()), err=err)
    assert isinstance(err.file, io.StringIO)
    assert "250/250" in err.file.getvalue()


def test_bad_rows_are_shown_and_too_many_end_with_code_one(tmp_path: Path) -> None:
    """Nothing is replayed from a file that is wrong beyond the threshold."""
    rows = rows_of("law", 100, RATES)
    path = write(tmp_path / "r.csv", [*rows, "p,law,dear,7,1,1,1"])
    code, out, _ = called(path)
    assert code == 0
    assert "1 bad or missing rows, 0 prompts left out" in out
    assert "line 302: reward == 7" in out
    code, out, err = called(path, max_bad=0.0)
    assert (code, out) == (1, "")
    assert "1 of 301 rows are bad or missing" in err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"control": "none"}, 1, "no model 'none'; it records dear, cheap, poor"),
        ({"candidates": ["none"]}, 1, "no model 'none'"),
        ({"candidates": ["dear"]}, 1, "a comparison needs two"),
        ({"categories": ["none"]}, 1, "no category 'none'; it records law, world history"),
        ({"repeat": 0}, 2, "--repeat 0, must be 1 to 1,000"),
        ({"repeat": 1_000_000}, 2, "must be 1 to 1,000"),
        ({"max_bad": 2.0}, 2, "--max-bad 2, must be a fraction"),
        ({"max_bad": float("nan")}, 2, "--max-bad nan"),
        ({"seed": -1}, 2, "--seed -1"),
        ({"margin": -0.1}, 2, "objective.reward_margin"),
        ({"alpha": 0.9}, 2, "decision.alpha"),
        ({"objective": "fame"}, 2, "objective.kind"),
        ({"mode": "shadow"}, 2, "shadow_usd_per_day"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(
    file: Path,
    options: dict[str, Any],
    code: int,
    said: str,  # reason: the command's own keywords
) -> None:
    """Each refusal names the value and what would do."""
    answered, out, err = called(file, **options)
    assert (answered, out) == (code, "")
    assert said in err
    assert "served" not in err
