"""What a command ends with: one clear line on stderr and an exit code that scripts can rely on."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from api.commands.output import counted, plain

DONE, FAILED, USAGE, REFUSED, UNHEALTHY = 0, 1, 2, 3, 4


class Guarded(TyperGroup):
    """A group of commands whose foreseeable errors become a line and an exit code instead of a traceback."""

    def invoke(self, ctx: Any) -> object:  # reason: typer's context type is private to its bundled click
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output has gone, as in `pointsman audit | head`
            sys.stderr.close()
            raise typer.Exit(DONE) from None
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            _tell(error)
            raise typer.Exit(code) from None


def fail(message: str) -> None:
    """Say on stderr what went wrong."""
    typer.echo(f"error: {plain(message)}", err=True)


def exit_code(error: Exception) -> int | None:
    """The exit code of a foreseeable error; None for a mistake of this program, which keeps its traceback."""
    from router.errors import EvidenceRefused, PointsmanError
    from storage.errors import StoreError

    if isinstance(error, EvidenceRefused):
        return REFUSED
    return FAILED if isinstance(error, PointsmanError | StoreError | OSError) else None


def _tell(error: Exception) -> None:
    """One line; for a configuration file one line for each problem, as editors read them."""
    problems = getattr(error, "problems", ())
    for problem in problems:
        typer.echo(plain(str(problem)), err=True)
    if problems:
        wrong = sum(problem.severity == "error" for problem in problems)
        fail(f"{problems[0].path} has {counted(wrong, 'problem')}; nothing was changed")
    else:
        fail(str(error))
