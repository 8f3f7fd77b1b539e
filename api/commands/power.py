"""power: how long an experiment takes at its traffic, before it is started or while it runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.experiments import Name
from api.commands.opening import open_local
from api.commands.output import Columns, Form, say, show, show_one

if TYPE_CHECKING:
    from experiments.planning.power import Plan

_COLUMNS: Columns = {
    "mode": lambda row: row["mode"],
    "units, mean": lambda row: _count(row["units_mean"]),
    "units, 80%": lambda row: _count(row["units_likely"]),
    "days, mean": lambda row: _days(row["days_mean"]),
    "days, 80%": lambda row: _days(row["days_likely"]),
    "units at the floor": lambda row: _count(row["units_at_floor"]),
}


def power(
    ctx: typer.Context,
    name: Name,
    units_per_day: Annotated[
        float | None,
        typer.Option(
            "--units-per-day", metavar="N", help="Units of the task a day; by default the pace so far."
        ),
    ] = None,
    form: Form = "text",
) -> None:
    """Units and days to a verdict in every mode, and the smallest difference that the traffic can show."""
    from dataclasses import asdict

    from router.clock import machine_clock
    from router.steering.forecast import forecast

    with open_local(ctx) as store:
        plan = forecast(store, name, units_per_day, machine_clock())
    if form == "json":
        show_one(asdict(plan), "", form)
        return
    say(f"{name}: {plan.sentence}")
    show([asdict(each) for each in plan.modes], _COLUMNS, form, "")
    say("\n".join(_lines(plan)))


def _lines(plan: "Plan") -> list[str]:
    lines = [
        f"declared mode: {plan.mode}; slowest rule: {plan.slowest_rule}",
        f"a fixed test that nobody peeks at takes {_count(plan.fixed_units)} units with equal shares",
        f"smallest difference shown at max_units: {plan.detectable_at_max_units:.2g}",
    ]
    if plan.detectable_now is not None:
        lines.append(
            f"smallest difference shown now, at {_count(plan.units_seen)} units: {plan.detectable_now:.2g}"
        )
    return lines


def _count(units: object) -> str:
    return f"{units:,}" if isinstance(units, int) else "-"


def _days(days: object) -> str:
    return f"{days:,.1f}" if isinstance(days, float) else "-"
