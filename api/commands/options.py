"""The global options of a run, and the settings where an option is not given."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from api.settings import Settings


@dataclass(frozen=True, slots=True)
class Where:
    """The global options: which store or server a command is for."""

    store: str | None = None
    url: str | None = None
    key_env: str = "POINTSMAN_KEY"


def store_url(ctx: typer.Context) -> str:
    """The store that the options name, else the settings."""
    return where_of(ctx).store or settings().store


def settings(**given: object) -> "Settings":
    """Deployment settings: what is given here, else the environment; raises ConfigInvalid with all problems."""
    from pydantic import ValidationError

    from api.settings import Settings, environment
    from router.errors import ConfigInvalid

    try:
        return Settings.read(
            environment(), **{name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        problems = (f"setting {each['loc'][0]}: {each['msg']}" for each in error.errors(include_input=False))
        raise ConfigInvalid("; ".join(problems)) from None


def where_of(ctx: typer.Context) -> Where:
    """The global options of this run."""
    return ctx.obj if isinstance(ctx.obj, Where) else Where()


def actor() -> str:
    """Whom the audit record names: the user of this machine."""
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # no such user, as in some containers
        return "cli"
