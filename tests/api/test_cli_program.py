"""The program itself, in a process of its own: exit codes, streams and a quick start."""

import os
import subprocess
import sys
from pathlib import Path

from tests.api.shell import EXAMPLE, ROOT, Shell


def _pointsman(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "pointsman", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_program_itself_speaks_and_exits_as_promised(tmp_path: Path) -> None:
    """The runner above is not the shell: here is the real process, its streams and its exit status."""
    assert _pointsman("validate", str(EXAMPLE), cwd=tmp_path).returncode == 0
    applied = _pointsman("apply", str(EXAMPLE), cwd=tmp_path)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert (tmp_path / "pointsman.sqlite").exists()
    missing = _pointsman("start", "nope", cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "error: there is no experiment 'nope'; `pointsman experiments` lists them\n"
    assert _pointsman("nope", cwd=tmp_path).returncode == 2


def test_serve_with_a_broken_file_starts_nothing(tmp_path: Path) -> None:
    """Problems are told before a port is taken or a ledger is configured."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("models: {}\n", encoding="utf-8")
    done = _pointsman("serve", "--config", str(broken), "--port", "0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{broken}:1:1: default: is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_stops_reading_is_no_error(shell: Shell) -> None:
    """`pointsman audit | head -1` must end quietly."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pointsman", "--store", str(shell.store), "audit"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_help_needs_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    """Completion and scripts call it often; it must not load the engine to say what it can do."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from api.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'scipy', 'pydantic', 'fastapi', "
        "'sqlite3', 'router', 'storage', 'experiments'}))\n"
    )
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
