"""pointsman power: the plan as text and as JSON, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "pointsman.yaml"


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A ledger that holds the example configuration with its draft."""
    path = str(tmp_path / "ledger.sqlite")
    assert CliRunner().invoke(app, ["--store", path, "apply", str(EXAMPLE)]).exit_code == 0
    return path


def power(store: str, *arguments: str) -> Result:
    """The result of the command."""
    return CliRunner().invoke(app, ["--store", store, "power", *arguments])


def test_the_plan_of_a_draft_names_units_and_days_of_every_mode(store: str) -> None:
    """What a user reads before starting."""
    result = power(store, "billing-cheaper", "--units-per-day", "5000")
    assert result.exit_code == 0
    assert "A verdict is likely within" in result.stdout
    for word in ("ab", "learn", "earn", "units, 80%", "days, mean", "slowest rule: not_worse", "max_units"):
        assert word in result.stdout


def test_too_little_traffic_is_said_in_words_and_in_json(store: str) -> None:
    """It is an answer, not an error: exit code 0."""
    result = power(store, "billing-cheaper", "--units-per-day", "5")
    assert result.exit_code == 0
    assert "Not enough traffic: about" in result.stdout
    found = json.loads(power(store, "billing-cheaper", "--units-per-day", "5", "--format", "json").stdout)
    assert found["answer"] == "not_enough_traffic"
    assert [each["mode"] for each in found["modes"]] == ["ab", "learn", "earn"]
    assert found["units_per_day_needed"] > 5


def test_without_traffic_the_units_are_still_named(store: str) -> None:
    """A draft has no pace yet."""
    result = power(store, "billing-cheaper")
    assert "units are needed; the task's traffic is not known yet" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope",), "there is no experiment"),
        (("billing-cheaper", "--units-per-day", "0"), "must be above 0"),
        (("billing-cheaper", "--units-per-day", "nan"), "must be above 0"),
    ],
)
def test_errors_are_one_line_and_exit_code_one(store: str, arguments: tuple[str, ...], words: str) -> None:
    """Scripts rely on the code, people on the line."""
    result = power(store, *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
