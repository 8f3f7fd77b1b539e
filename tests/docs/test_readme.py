"""The README's examples run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

from router.applying.file import parse_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The code block of a language that contains a text."""
    (found,) = [
        code for code in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in code
    ]
    return found


def test_the_first_example_runs_and_prints_a_verdict() -> None:
    """It is the first thing that anybody tries."""
    code = block("python", "Router.open")
    assert len(code.splitlines()) <= 25
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "haiku" in done.stdout
    assert done.stderr == ""


def test_the_configuration_example_is_valid_without_a_warning() -> None:
    """People start from it."""
    config = parse_config(block("yaml", "hypothesis:"), "README.md")
    assert config.warnings == ()
    assert list(config.document.experiments) == ["billing-cheaper"]


def test_the_commands_named_are_the_commands_there_are() -> None:
    """`make` targets of the README exist."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
