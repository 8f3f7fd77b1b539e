"""Speed: what decisions and ticks cost on this machine, as the benchmarks tell it."""

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

COMMANDS = ("benchmarks.choose", "benchmarks.report")
LONGEST_S = 300


def measured(commands: Sequence[str] = COMMANDS) -> str:
    """The output of the benchmarks under their commands, as a code block; they are no part of an installed package."""
    parts = []
    for module in commands:
        found = _output(module)
        parts.append(f"$ python -m {module}\n{found}")
    return "```\n" + "\n\n".join(parts) + "\n```"


def _output(module: str) -> str:
    if find_spec(module.split(".")[0]) is None:
        return "not installed"
    ran = subprocess.run(  # noqa: S603 - our own modules, by this interpreter
        [sys.executable, "-m", module], capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    if ran.returncode:
        return f"failed with exit code {ran.returncode}"
    return ran.stdout.rstrip()
