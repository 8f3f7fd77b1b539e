"""Opening what a command works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from api.commands.options import Where, store_url, where_of
from api.commands.target import Target

if TYPE_CHECKING:
    from storage.store import Store


@contextmanager
def target(ctx: typer.Context) -> Iterator[Target]:
    """The store or server that the global options name."""
    where = where_of(ctx)
    if where.url is not None:
        from api.remote import connect

        yield connect(where.url, key_of(where))
        return
    from api.commands.local import LocalTarget

    with open_local(ctx) as store:
        yield LocalTarget(store)


def key_of(where: Where) -> str | None:
    """The key for the server that the options name, from the environment."""
    from api.settings import environment

    return environment().get(where.key_env)


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
