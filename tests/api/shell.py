"""A shell for tests: commands on one store, with the exit code that is expected."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from api.cli import app

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "pointsman.yaml"


class Shell:
    """Runs commands on one store."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def run(self, *arguments: str, code: int = 0) -> Result:
        """The result of a command, whose exit code must be as expected."""
        result = CliRunner().invoke(app, ["--store", str(self.store), *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        assert "Traceback" not in result.output
        return result

    def json(self, *arguments: str) -> list[dict[str, object]]:
        """The rows of a listing."""
        rows: list[dict[str, object]] = json.loads(self.run(*arguments, "--format", "json").stdout)
        return rows
