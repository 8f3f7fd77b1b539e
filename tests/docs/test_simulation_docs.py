"""docs/simulation.md runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

from evaluation.simulation.spec import Spec
from evaluation.simulation.spec_file import parse_spec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_loop_over_the_router_runs_and_ends_in_a_verdict() -> None:
    """It is what people copy."""
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "cheap" in done.stdout


def test_the_specification_is_valid_and_every_field_is_in_the_table() -> None:
    """A field that nobody can find is not there."""
    (text,) = blocks("yaml")
    assert parse_spec(text).requests == 42_000
    for field in Spec.model_fields:
        assert f"`{field}`" in PAGE, field
