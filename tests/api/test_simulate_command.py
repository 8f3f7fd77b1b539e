"""simulate on the command line: report and truth, JSON alone on standard output, problems by line."""

import json
from pathlib import Path

import pytest

from tests.api.shell import Shell

SPEC = """\
seed: 5
requests_per_day: 1500
days: 1
environment: {rates: [0.8, 0.8], costs_usd: [0.01, 0.002]}
experiment: {candidates: [dear, cheap], reward: {window: 1h}, objective: {reward_margin: 0.1}}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A small specification."""
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return str(path)


def test_one_run_prints_its_report_and_the_truth_beside_it(fresh: Shell, file: str, tmp_path: Path) -> None:
    """The same report as `pointsman report` prints, and a page of it."""
    page = tmp_path / "report.html"
    done = fresh.run("simulate", file, "--report", str(page))
    for said in ("simulated", "dear (control)", "What was simulated", "-80%", "Regret against"):
        assert said in done.stdout, said
    assert done.stderr == ""  # no progress bar where nobody looks
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert not fresh.store.exists()


def test_json_is_the_same_to_the_byte_with_the_same_seed(fresh: Shell, file: str) -> None:
    """Scripts compare it."""
    first = fresh.run("simulate", file, "--format", "json").stdout
    assert first == fresh.run("simulate", file, "--format", "json", "--seed", "5").stdout
    assert first != fresh.run("simulate", file, "--format", "json", "--seed", "6").stdout
    found = json.loads(first)
    assert found["report"]["experiment"] == "simulated"
    assert found["runs"][0]["requests"] == sum(each["served"] for each in found["candidates"])


def test_several_runs_give_shares_of_verdicts(fresh: Shell, file: str) -> None:
    """One run is an anecdote."""
    text = fresh.run("simulate", file, "--runs", "3", "--jobs", "1").stdout
    assert "Over 3 runs" in text
    found = json.loads(fresh.run("simulate", file, "--runs", "3", "--jobs", "1", "--format", "json").stdout)
    assert [run["number"] for run in found["runs"]] == [0, 1, 2]
    assert sum(part["runs"] for part in found["verdicts"]) == 3


def test_a_bad_file_is_refused_by_line_and_bad_options_by_usage(
    fresh: Shell, tmp_path: Path, file: str
) -> None:
    """Exit codes are those of the other commands."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(SPEC.replace("days: 1", "days: many"), encoding="utf-8")
    done = fresh.run("simulate", str(bad), code=1)
    assert f"{bad}:3:7: days: must be a number" in done.stderr
    fresh.run("simulate", str(tmp_path / "absent.yaml"), code=1)
    fresh.run("simulate", file, "--runs", "0", code=2)
