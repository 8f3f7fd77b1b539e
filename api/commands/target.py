"""What commands work on: the store itself, or a server that has it. Both answer in the shapes of the HTTP API."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import typer

from api.commands.output import Fields

if TYPE_CHECKING:
    from api.settings import Settings
    from storage.store import Store

Move = Literal["start", "pause", "stop"]
ReportForm = Literal["text", "json", "html", "csv"]


@dataclass(frozen=True, slots=True)
class Where:
    """The global options: which store or server a command is for."""

    store: str | None = None
    url: str | None = None
    key_env: str = "POINTSMAN_KEY"


class Target(Protocol):
    """A store or a server; raises PointsmanError and StoreError."""

    def experiments(self) -> list[Fields]:
        """All experiments, the newest first."""

    def move(self, move: Move, name: str, why: str) -> Fields:
        """Start, pause or stop an experiment."""

    def report(self, name: str, form: ReportForm) -> str:
        """An experiment's report."""

    def promote(self, name: str, why: str, candidate: str | None, force: bool) -> Fields:
        """Make a candidate the champion."""

    def rollback(self, task: str, why: str) -> Fields:
        """Give a task its previous champion back."""

    def routes(self) -> list[Fields]:
        """Every task and its champion."""

    def set_route(self, task: str, model: str, why: str) -> Fields:
        """Name a champion by hand."""

    def audit(self, limit: int) -> list[Fields]:
        """The newest changes first."""

    def export(self, kind: str, experiment: str | None) -> Iterator[str]:
        """Rows of the ledger as lines of JSON."""

    def keys(self) -> list[Fields]:
        """All keys without their secrets."""

    def add_key(self, key_id: str, scopes: Sequence[str]) -> str:
        """A new key, shown once."""

    def revoke_key(self, key_id: str) -> None:
        """End a key."""


@contextmanager
def target(ctx: typer.Context) -> Iterator[Target]:
    """The store or server that the global options name."""
    where = where_of(ctx)
    if where.url is not None:
        from api.remote import connect
        from api.settings import environment

        yield connect(where.url, environment().get(where.key_env))
        return
    from api.commands.local import LocalTarget

    with open_local(ctx) as store:
        yield LocalTarget(store)


@contextmanager
def open_local(ctx: typer.Context) -> Iterator["Store"]:
    """The store itself, for commands that no server can do; closed at the end."""
    from router.errors import InvalidRequest
    from storage.open import open_store

    if where_of(ctx).url is not None:
        raise InvalidRequest(
            "this command works on the store itself; run it beside the ledger, without --url"
        )
    store = open_store(store_url(ctx))
    try:
        yield store
    finally:
        store.close()


def store_url(ctx: typer.Context) -> str:
    """The store that the options name, else the settings."""
    return where_of(ctx).store or settings().store


def settings(**given: object) -> "Settings":
    """Deployment settings: what is given here, else the environment; raises ConfigInvalid with all problems."""
    from pydantic import ValidationError

    from api.settings import Settings
    from router.errors import ConfigInvalid

    try:
        return Settings.model_validate({name: value for name, value in given.items() if value is not None})
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
