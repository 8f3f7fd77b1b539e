"""serve, tick, demo: commands that run the machinery."""

from pathlib import Path
from typing import Annotated

import typer

from api.commands.opening import open_local
from api.commands.options import settings, where_of
from api.commands.output import counted, say


def serve(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration that seeds an empty ledger.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=32, help="Serving processes.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one.")
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="Ledger, as the global option.")] = None,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End as soon as the process that started this one is gone.")
    ] = False,
) -> None:
    """Serve the gateway, the API and the dashboard, with the planner beside them."""
    from api.processes.serve import serve as run
    from router.errors import InvalidRequest

    where = where_of(ctx)
    if where.url is not None:
        raise InvalidRequest("serve starts a server here; leave --url out")
    chosen = settings(store=store or where.store, workers=workers, host=host, port=port)
    raise typer.Exit(run(chosen, config, with_parent=with_parent))


def tick(ctx: typer.Context) -> None:
    """Run the planner once: look at every running experiment, move its shares, write its report."""
    import os
    import socket

    from router.clock import machine_clock
    from router.steering.planner import Planner

    with open_local(ctx) as store:
        planner = Planner(store, f"{socket.gethostname()}:{os.getpid()}:tick", machine_clock)
        ticked = planner.run_once()
        planner.release()
        reported = sum(store.report(row.id) is not None for row in store.state().experiments)
    if ticked:
        say(f"ticked; reports of {counted(reported, 'experiment')} are there")
    else:
        say("another planner is at work; nothing was done")


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, with its URL.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the simulated models.")] = 1,
    requests: Annotated[
        int, typer.Option("--requests", min=1, max=100_000, help="Requests of each subject.")
    ] = 3_000,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Port of the server; 0 takes a free one.")
    ] = 0,
) -> None:
    """See the whole loop in about a minute: simulated models, live traffic, reports, promotion."""
    from examples.demo import run

    raise typer.Exit(run(keep=keep, seed=seed, requests=requests, port=port))


def version() -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        say(f"pointsman {installed('pointsman')}")
    except PackageNotFoundError:
        say("pointsman (from a checkout)")
