"""Benchmarks follow the code that they measure, though nobody runs them in every build."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENTRIES = ("__main__", "__init__")


def test_every_benchmark_can_be_loaded() -> None:
    """A module that was moved would be missed by whoever next asks how fast it is."""
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "benchmarks").rglob("*.py")
        if path.stem not in ENTRIES
    )
    code = f"import importlib; [importlib.import_module(name) for name in {names}]"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert len(names) > 15
    assert done.returncode == 0, done.stderr
