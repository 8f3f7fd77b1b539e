"""The command line: `pointsman COMMAND`, on a store or, with --url, on a running server."""

from typing import Annotated

import typer

from api.commands import (
    batch,
    classify,
    configuration,
    doctor,
    experiments,
    import_,
    keys,
    ledger,
    power,
    replay,
    route,
    routes,
    server,
    simulate,
)
from api.commands.errors import Guarded
from api.commands.options import Where

app = typer.Typer(
    name="pointsman",
    cls=Guarded,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Online A/B and bandit experiments for LLM traffic: define, send traffic, read the report, promote.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 refused by the evidence, 4 unhealthy.",
)

app.command("demo")(server.demo)
app.command("serve")(server.serve)
app.command("validate")(configuration.validate)
app.command("plan")(configuration.plan)
app.command("apply")(configuration.apply)
app.command("experiments")(experiments.experiments)
app.command("start")(experiments.start)
app.command("pause")(experiments.pause)
app.command("stop")(experiments.stop)
app.command("report")(experiments.report)
app.command("power")(power.power)
app.command("promote")(experiments.promote)
app.command("rollback")(routes.rollback)
app.command("route")(route.route)
app.command("routes")(routes.routes)
app.command("set-route")(routes.set_route)
app.command("replay")(replay.replay)
app.command("simulate")(simulate.simulate)
app.command("export")(ledger.export)
app.command("audit")(ledger.audit)
app.command("decisions")(ledger.decisions)
app.add_typer(batch.app, name="batch")
app.add_typer(keys.app, name="keys")
app.add_typer(classify.app, name="classify")
app.add_typer(import_.app, name="import")
app.command("tick")(server.tick)
app.command("doctor")(doctor.doctor)
app.command("version")(server.version)


@app.callback()
def choose_target(
    ctx: typer.Context,
    store: Annotated[
        str | None, typer.Option("--store", help="Ledger: an SQLite path or URL; default POINTSMAN_STORE.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="A running server to work on instead of the store.")
    ] = None,
    key_env: Annotated[
        str,
        typer.Option("--key-env", metavar="NAME", help="Environment variable that holds the server's key."),
    ] = "POINTSMAN_KEY",
) -> None:
    """Remember which store or server the command is for."""
    if store is not None and url is not None:
        raise typer.BadParameter("give either --store or --url")
    ctx.obj = Where(store, url, key_env)


def main() -> None:
    """Entry of the console script."""
    app()
