"""docs/policies.md runs as it stands: a policy that knows which requests are easy wins over both of its models."""

import re
import subprocess
import sys
from pathlib import Path

from router.applying.file import parse_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The page's only code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_configuration_is_valid_without_a_warning() -> None:
    """People start from it."""
    read = parse_config(block("yaml"), "policies.md")
    assert read.warnings == ()
    assert list(read.document.policies) == ["by-kind", "learned"]


def test_the_example_ends_in_the_promotion_of_the_policy() -> None:
    """More reward per dollar than either model, at no loss of reward, and the planner promotes it by itself."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block("python")], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    *rows, verdict = done.stdout.splitlines()
    per_dollar = {row.split()[0]: int(row.split()[-4]) for row in rows}
    assert per_dollar["by-kind"] > 2 * per_dollar["sonnet"]
    assert per_dollar["by-kind"] > per_dollar["haiku"]
    assert verdict.startswith("promoted: Promote by-kind: its reward is")
